"""Search spaces, samplers, pruners and studies; and, inside a run, the trial it belongs to."""

from samerun.search.confirmation import check_confirmation
from samerun.search.constraints import check_constraints, constraint_notes, parse_constraints
from samerun.search.lease import Lease, acquire_lease
from samerun.search.parse_space import first_choices, parse_space
from samerun.search.paused import is_paused, paused_at
from samerun.search.promotion import Promotion, build_promotion
from samerun.search.pruners import build_pruner, check_options
from samerun.search.samplers import (
    build_sampler,
    check_point,
    check_sampler,
    choose_sampler,
    num_trials,
    sampler_notes,
)
from samerun.search.space import Space, distribution
from samerun.search.storage import (
    STORAGE_VARIABLE,
    file_identity,
    is_broken,
    is_unavailable,
    open_storage,
    root_reason,
    storage_errors,
    storage_url,
    was_unavailable,
)
from samerun.search.study import (
    StudyStart,
    TrialSettings,
    count_by_state,
    differences,
    find_study,
    is_study_name,
    open_study,
    refuse_changes,
    settings_json,
    store_for_workers,
    study_start,
    token,
)
from samerun.search.trial import NO_TRIAL, CurrentTrial, InstanceTrial, current_trial
