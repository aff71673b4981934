"""Sensors and the state of hardware (ESX 4.1, whose 398 sensors are mostly installed packages)."""

from __future__ import annotations

from typing import Any, Final

from vimlib import vim25

_GOOD: Final = "Sensor is operating under normal conditions"
_WORKS: Final = "Physical element is functioning as expected"

# Type, reading, exponent of ten, unit or "-", name.
_SENSORS: Final = """\
fan 1022400 -2 RPM Fan Device 1 Fan 1 - Normal
fan 1020000 -2 RPM Fan Device 2 Fan 2 - Normal
temperature 2300 -2 Degrees_C System Board 1 Ambient Temp - Normal
temperature 4100 -2 Degrees_C Processor 1 Temp - Normal
temperature 4000 -2 Degrees_C Processor 2 Temp - Normal
voltage 333 -2 Volts System Board 1 3.3V - Normal
voltage 1210 -2 Volts System Board 2 12V - Normal
power 18000 -2 Watts Power Supply 1 - Normal
power 0 0 - Power Supply 2: Presence detected
system 0 0 - VMware Rollup Health State
"""


def _state(key: str, summary: str) -> Any:
    return vim25.ElementDescription(label="Green", summary=summary, key=key)


def health(packages: int) -> Any:
    """Return the health of a host with so many processors: all is well."""
    sensors = []
    for number, line in enumerate(_SENSORS.splitlines()):
        kind, reading, exponent, unit, name = line.split(" ", 4)
        sensors.append(
            vim25.HostNumericSensorInfo(
                name=name,
                healthState=_state("green", _GOOD),
                currentReading=int(reading),
                unitModifier=int(exponent),
                baseUnits="" if unit == "-" else unit,
                sensorType=kind,
                id=f"0.{number}.1.1",
            )
        )
    return vim25.HealthSystemRuntime(
        systemHealthInfo=vim25.HostSystemHealthInfo(numericSensorInfo=sensors),
        hardwareStatusInfo=vim25.HostHardwareStatusInfo(
            cpuStatusInfo=[
                vim25.HostHardwareElementInfo(
                    name=f"CPU {number + 1}", status=_state("Green", _WORKS)
                )
                for number in range(packages)
            ]
        ),
    )
