//! The guest memory of a small monitor, with tests that need a KVM:
//!
//! ```sh
//! cargo test --no-run && memslots emulate --no-kvm --kernel 5.10/x86_64 -- cargo test
//! ```

use std::fs::{File, OpenOptions};
use std::io::{Error, Result};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::raw::{c_int, c_ulong};

extern "C" {
    fn ioctl(fd: c_int, request: c_ulong, argument: c_ulong) -> c_int;
}

const CREATE_VM: c_ulong = 0xae01;
const CHECK_EXTENSION: c_ulong = 0xae03;
const SET_USER_MEMORY_REGION: c_ulong = 0x4020_ae46;
const NR_MEMSLOTS: c_ulong = 10;

#[repr(C)]
struct Region {
    slot: u32,
    flags: u32,
    guest_phys_addr: u64,
    memory_size: u64,
    userspace_addr: u64,
}

fn call(file: &File, request: c_ulong, argument: c_ulong) -> Result<c_int> {
    let result = unsafe { ioctl(file.as_raw_fd(), request, argument) };
    if result < 0 { Err(Error::last_os_error()) } else { Ok(result) }
}

/// One VM and the slots that it may have.
pub struct Memory {
    vm: File,
    pub most_slots: u32,
    next: u32,
    backing: Vec<Box<[u64]>>,
}

impl Memory {
    pub fn new() -> Result<Memory> {
        let kvm = OpenOptions::new().read(true).write(true).open("/dev/kvm")?;
        let most_slots = call(&kvm, CHECK_EXTENSION, NR_MEMSLOTS)? as u32;
        let vm = unsafe { File::from_raw_fd(call(&kvm, CREATE_VM, 0)?) };
        Ok(Memory { vm, most_slots, next: 0, backing: Vec::new() })
    }

    /// Adds a page of guest memory; its slot.
    pub fn add_page(&mut self, gpa: u64) -> Result<u32> {
        let pages = vec![0u64; 1024].into_boxed_slice();
        let hva = (pages.as_ptr() as u64 + 4095) & !4095;
        let region =
            Region { slot: self.next, flags: 0, guest_phys_addr: gpa, memory_size: 4096, userspace_addr: hva };
        call(&self.vm, SET_USER_MEMORY_REGION, &region as *const Region as c_ulong)?;
        self.backing.push(pages);
        self.next += 1;
        Ok(region.slot)
    }
}

#[cfg(test)]
mod tests {
    use super::Memory;

    #[test]
    fn pages_that_meet_are_refused() {
        let mut memory = Memory::new().unwrap();
        assert_eq!(memory.add_page(0).unwrap(), 0);
        assert_eq!(memory.add_page(0).unwrap_err().raw_os_error(), Some(17));
        assert_eq!(memory.add_page(4096).unwrap(), 1);
    }

    #[test]
    fn as_many_slots_as_the_kernel_has() {
        let mut memory = Memory::new().unwrap();
        for number in 0..memory.most_slots.min(600) {
            memory.add_page(u64::from(number) << 12).unwrap();
        }
        if memory.most_slots < 600 {
            assert_eq!(memory.add_page(1 << 32).unwrap_err().raw_os_error(), Some(22));
        }
    }
}
