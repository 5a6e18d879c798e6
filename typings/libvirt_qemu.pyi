"""Types of the libvirt-python calls for QEMU that the driver uses; the module itself ships none."""

import libvirt

def qemuMonitorCommand(domain: libvirt.virDomain, cmd: str, flags: int) -> str: ...

VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP: int
