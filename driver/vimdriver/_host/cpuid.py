"""Names of processor features, from the CPUID levels that a host shows. No I/O.

The names are those of Linux (`/proc/cpuinfo`), which OpenStack's traits and libvirt use; the bits are
those of Intel's and AMD's manuals (CPUID, leaves 1, 7, 0x80000001).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vimlib import vim25

# (leaf, register) to the names of its bits from 0 on; "-" has none.
_BITS: Final = {
    (0x00000001, "edx"): (
        "fpu vme de pse tsc msr pae mce cx8 apic - sep mtrr pge mca cmov pat pse36 pn clflush - dts acpi"
        " mmx fxsr sse sse2 ss ht tm - pbe"
    ),
    (0x00000001, "ecx"): (
        "pni pclmulqdq dtes64 monitor ds_cpl vmx smx est tm2 ssse3 cid sdbg fma cx16 xtpr pdcm - pcid dca"
        " sse4_1 sse4_2 x2apic movbe popcnt tsc_deadline_timer aes xsave - avx f16c rdrand hypervisor"
    ),
    (0x00000007, "ebx"): (
        "fsgsbase tsc_adjust sgx bmi1 hle avx2 - smep bmi2 erms invpcid rtm - - mpx - avx512f avx512dq"
        " rdseed adx smap avx512ifma - clflushopt clwb - avx512pf avx512er avx512cd sha_ni avx512bw"
        " avx512vl"
    ),
    (0x80000001, "edx"): (
        "- - - - - - - - - - - syscall - - - - - - - mp nx - mmxext - - fxsr_opt pdpe1gb rdtscp - lm"
        " 3dnowext 3dnow"
    ),
    (0x80000001, "ecx"): (
        "lahf_lm cmp_legacy svm extapic cr8_legacy abm sse4a misalignsse 3dnowprefetch osvw ibs xop"
        " skinit wdt - lwp fma4 tce - - - tbm topoext"
    ),
}


def features(levels: Iterable[vim25.HostCpuIdInfo]) -> tuple[str, ...]:
    """Return the features of a processor, sorted; levels and bits without a name are left out."""
    found = set()
    for level in levels:
        leaf = level.level & 0xFFFFFFFF  # the field is a signed number
        for register in ("ebx", "ecx", "edx"):
            names = _BITS.get((leaf, register))
            bits = (getattr(level, register) or "").replace(":", "")
            if names is not None and len(bits) == 32:
                named = zip(names.split(), reversed(bits), strict=False)
                found |= {name for name, bit in named if bit == "1" and name != "-"}
    return tuple(sorted(found))
