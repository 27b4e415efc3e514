"""The user's own code: which functions a config names, their files, their checks and their import.

Nothing but `import_function` runs any of it.
"""

from samerun.user_code.checks import check_functions, check_source
from samerun.user_code.files import files_of, imports_of
from samerun.user_code.importing import describe_cause, import_function, working_folder_first
from samerun.user_code.targets import OwnFunction, own_functions, targets
