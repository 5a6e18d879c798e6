"""A program for a guest's bare CPU that proves it can run an operating system.

An accelerator may be advertised, and its device be there, and yet guests hang in it or QEMU aborts. So a
boot sector does what a kernel needs first: it sets up page tables, enters 64-bit mode, takes three timer
interrupts, counts down a register, and powers the machine off through Q35's ACPI port. A guest that ends by
itself has passed.

The bytes are this program (GNU assembler, offsets from 0x7c00)::

    start:  cli; xorw %ax,%ax; movw %ax,%ds; movw %ax,%es; movw %ax,%ss; movw $0x7c00,%sp
            movw $0x1000,%di; movw $0x1800,%cx; cld; rep stosw          # clear the page tables
            movl $0x2003,0x1000; movl $0x3003,0x2000; movb $0x83,0x3000 # one page of 2 MiB
            movl $0x00080000+tick,0x5080; movw $0x8e00,0x5084           # vector 8: timer
            lgdt gdtr; lidt idtr
            movl $0xa0,%eax; movl %eax,%cr4; movl $0x1000,%eax; movl %eax,%cr3
            movl $0xc0000080,%ecx; rdmsr; orl $0x100,%eax; wrmsr        # long mode enable
            movl %cr0,%eax; orl $0x80000001,%eax; movl %eax,%cr0; ljmpl $8,$long
    long:   movb $0xfe,%al; outb %al,$0x21; xorl %ebx,%ebx; sti         # only the timer
    again:  hlt; cmpl $3,%ebx; jb again
            movl $0x1000000,%ecx
    spin:   decl %ecx; jnz spin
            cli; movw $0x604,%dx; movw $0x2000,%ax; outw %ax,%dx        # S5
    dead:   hlt; jmp dead
    tick:   incl %ebx; movb $0x20,%al; outb %al,$0x20; iretq
    gdt:    .quad 0, 0x00209a0000000000, 0x0000920000000000
    gdtr:   .word 23; .long gdt
    idtr:   .word 0xfff; .long 0x5000
"""

from __future__ import annotations

from typing import Final

_CODE: Final = bytes.fromhex(
    "fa31c08ed88ec08ed0bc007cbf0010b90018fcf3ab66c70600100320000066c706002003300000c60600308366c70680"
    "509f7c0800c7068450008e0f0116c07c0f011ec67c66b8a00000000f22e066b8001000000f22d866b9800000c00f3266"
    "0d000100000f300f20c0660d010000800f22c066ea7b7c00000800b0fee62131dbfbf483fb0372fab900000001ffc975"
    "fcfa66ba040666b8002066eff4ebfdffc3b020e62048cf90000000000000000000000000009a20000000000000920000"
    "1700a87c0000ff0f0050"
)

PROBE_BYTES: Final = 1024 * 1024
"""The size of the disk: the BIOS does not boot from one of a single sector."""


def boot_probe() -> bytes:
    """The disk's bytes."""
    sector = _CODE.ljust(510, b"\0") + b"\x55\xaa"
    return sector.ljust(PROBE_BYTES, b"\0")
