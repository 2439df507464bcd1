"""`python -m segmodels`."""

import sys

from segmodels.cli import main
from segmodels.process import end_with_parent

end_with_parent()
sys.exit(main())
