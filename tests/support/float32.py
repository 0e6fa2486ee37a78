"""`vdistill` with float32 products alone, as on a processor that has no others: `python tests/support/float32.py …`."""

import sys

from vdistill.encoders import cpu_copy, device, dual_encoder


def only_float32() -> None:
    """From now on in this process. The choice is handed on to workers of a cluster."""
    device.cpu_multiplies_bf16 = lambda: False
    cpu_copy.FastOnCpu.choice = lambda self, _inputs: dual_encoder.DualEncoder(**cpu_copy.fields_of(self))


if __name__ == "__main__":
    from vdistill.cli import main

    only_float32()
    sys.exit(main(sys.argv[1:]))
