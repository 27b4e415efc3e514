"""A user's own function as a model."""

import keras

from samerun.config import CustomModel, DataSpec, UserError
from samerun.config.code import cause, function, working_folder_first


def custom(cfg: CustomModel, spec: DataSpec) -> keras.Model:
    """Returns what the user's function makes of the description of the data.

    Raises:
        UserError: no such function, one that raises, one that returns something else, or a model
            whose output does not fit the task.
    """
    where = f"model.target: {cfg.target}"
    with working_folder_first():
        build = function("model.target", cfg.target)
        try:
            model = build(spec, **cfg.params)
        except (Exception, SystemExit) as error:
            raise UserError(f"{where}: raised {cause(error)}.") from error
    if not isinstance(model, keras.Model):
        kind = type(model).__name__
        raise UserError(f"{where}: returned a {kind}, expected a keras.Model.")
    if not model.built:
        model.build((None, *spec.input_shape))
    given = model.compute_output_shape((None, *spec.input_shape))
    if tuple(given)[-1:] != (spec.num_outputs,):
        raise UserError(
            f"{where}: its output has shape {tuple(given)}, expected {spec.num_outputs} numbers an "
            f"example for the {spec.task} task: end with samerun.models.head(spec), "
            "or with a layer of spec.num_outputs units."
        )
    return model
