"""The user's own code: which functions a config names, their files, their checks and their import.

Nothing but `import_function` runs any of it.
"""

from samerun.config.own import describe_cause, working_folder_first
from samerun.user_code.checks import check_functions, check_source
from samerun.user_code.files import files_of, imports_of
from samerun.user_code.importing import import_function
from samerun.user_code.targets import (
    DATA,
    OwnFunction,
    components_of,
    is_function,
    own_functions,
    targets,
    trust_names,
    where,
)
