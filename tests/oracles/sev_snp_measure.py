#!/usr/bin/env python3
"""Holds `stagectl digest` against sev-snp-measure on firmware images.

    pip install sev-snp-measure==0.0.13
    tests/oracles/sev_snp_measure.py [--stagectl PATH] IMAGE…

For each image: 1 to 8 vCPUs, three vCPU types, without a kernel; and, where the image has a page for kernel hashes, with a kernel,
with and without an initial RAM disk, with and without a command line. sev-snp-measure is called as a library and reads the same
files. Prints one line for each image, and one for each digest that differs; the exit status says whether any does.
"""

import argparse
import itertools
import pathlib
import subprocess
import sys
import tempfile

from sevsnpmeasure import guest, vcpu_types
from sevsnpmeasure.ovmf import OVMF, SectionType
from sevsnpmeasure.sev_mode import SevMode
from sevsnpmeasure.vmm_types import VMMType

SNP_ACTIVE = 0x1
VCPUS = range(1, 9)
TYPES = ["EPYC-v4", "EPYC-Milan", "EPYC-Genoa"]
COMMAND_LINES = [None, "console=ttyS0 root=/dev/vda1"]


def theirs(image, vcpus, vcpu_type, boot):
    digest = guest.calc_launch_digest(
        SevMode.SEV_SNP,
        vcpus,
        vcpu_types.CPU_SIGS[vcpu_type],
        str(image),
        boot.get("kernel"),
        boot.get("initrd"),
        boot.get("append"),
        SNP_ACTIVE,
        vmm_type=VMMType.QEMU,
    )
    return digest.hex()


def ours(stagectl, image, vcpus, vcpu_type, boot):
    command = [stagectl, "digest", str(image), "--platform", "sev-snp"]
    command += ["--vcpus", str(vcpus), "--vcpu-type", vcpu_type]
    for name, value in boot.items():
        command += [f"--{name}", value]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return done.stdout.strip() if done.returncode == 0 else done.stderr.strip()


def boots(image, directory):
    """What is booted: nothing, and kernels where the image can have one measured."""
    yield {}
    if not OVMF(str(image)).has_metadata_section(SectionType.SNP_KERNEL_HASHES):
        return
    kernel, initrd = directory / "kernel", directory / "initrd"
    kernel.write_bytes(b"kernel" * 1000)
    initrd.write_bytes(b"initrd" * 1000)
    for disk, append in itertools.product([None, str(initrd)], COMMAND_LINES):
        boot = {"kernel": str(kernel), "initrd": disk, "append": append}
        yield {name: value for name, value in boot.items() if value is not None}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", nargs="+", type=pathlib.Path, metavar="IMAGE")
    parser.add_argument("--stagectl", default="stagectl", help="the binary; found in PATH by default")
    args = parser.parse_args()
    wrong = 0
    with tempfile.TemporaryDirectory() as directory:
        for image in args.images:
            equal = 0
            cases = itertools.product(boots(image, pathlib.Path(directory)), TYPES, VCPUS)
            for boot, vcpu_type, vcpus in cases:
                want = theirs(image, vcpus, vcpu_type, boot)
                got = ours(args.stagectl, image, vcpus, vcpu_type, boot)
                if got == want:
                    equal += 1
                    continue
                wrong += 1
                print(f"{image}: {vcpus} vCPUs {vcpu_type} {boot}: sev-snp-measure {want}, stagectl {got}")
            print(f"{image}: {equal} digests equal sev-snp-measure's")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
