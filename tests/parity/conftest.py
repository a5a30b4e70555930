"""What the parity tests share: a history, a trained model, and a way to run."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
