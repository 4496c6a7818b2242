"""The process of one contestant: reads requests from its parent, one JSON line each, and answers.

A request is ``{"benchmark", "contestant", "folder", "settings"}``, to get ready for a case, or
``{"round"}``, to measure once. The answer has what was measured, or an "error", or the
reason why the contestant is "left_out".
"""

import json
import os
import sys
import time
import traceback
import warnings
from pathlib import Path

from tests.benchmarks import suite
from tests.benchmarks.base import CannotTakePartError, Turn

# Threads of the contestant before may still be spinning for more work.
_PAUSE_SECONDS = 0.05


def main() -> None:
    """Answer until the parent closes the pipe."""
    # Peers may print. What they print goes to the parent's error output, not into the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    # Contestants stop after so many epochs, converged or not; all warn of it.
    warnings.simplefilter("ignore")
    turn: Turn | None = None
    for line in sys.stdin:
        request = json.loads(line)
        answer: dict = {}
        try:
            if "round" in request:
                assert turn is not None
                time.sleep(_PAUSE_SECONDS)
                answer = {name: float(value) for name, value in turn(request["round"]).items()}
            else:
                turn = None  # frees the data of the case before
                benchmark = suite.load(request["benchmark"])
                folder = Path(request["folder"])
                turn = benchmark.prepare(request["contestant"], folder, **request["settings"])
        except CannotTakePartError as error:
            answer = {"left_out": str(error)}
        except Exception as error:  # Whatever a peer raises, the others go on.
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
