//! From a copy of a stack to frames: module and offset of each. Resolves no names, and knows not
//! how the copy was come by.

use framehop::{
    CacheNative, Error, ExplicitModuleSectionInfo, FrameAddress, MayAllocateDuringUnwind, Module,
    UnwindRegsNative, Unwinder, UnwinderNative,
};

use super::super::{Frame, How, Stack};
use super::capture::{CAP, Registers};
use super::modules::{self, Object};
use crate::clock;

/// Deeper stacks are cut, and are not complete.
const DEEPEST: usize = 512;

/// No frame is larger than this.
const LARGEST: u64 = 1 << 20;

pub(crate) struct Walker {
    unwinder: UnwinderNative<Vec<u8>, MayAllocateDuringUnwind>,
    cache: CacheNative<MayAllocateDuringUnwind>,
    objects: Vec<Object>,
    /// The copy, from the stack pointer up.
    pub(crate) stack: Vec<u8>,
}

impl Walker {
    pub(crate) fn new() -> Self {
        let mut walker = Self {
            unwinder: UnwinderNative::new(),
            cache: CacheNative::new(),
            objects: Vec::new(),
            stack: Vec::with_capacity(CAP),
        };
        walker.refresh();
        walker
    }

    /// Takes up objects that were loaded, and forgets those that were unloaded.
    fn refresh(&mut self) {
        let files = modules::mapped();
        let unwinder = &mut self.unwinder;
        self.objects.retain(|object| {
            let stays = files.iter().any(|file| file.range == object.range);
            if !stays {
                unwinder.remove_module(object.range.start);
            }
            stays
        });
        for file in &files {
            if self.objects.iter().any(|object| object.range == file.range) {
                continue;
            }
            let Some((object, sections)) = modules::load(file) else {
                continue;
            };
            if let Some(sections) = sections {
                let hdr_end = sections.hdr_at + sections.hdr.len() as u64;
                let frames_end = sections.frames_at + sections.frames.len() as u64;
                let info = ExplicitModuleSectionInfo {
                    base_svma: 0,
                    eh_frame_hdr_svma: Some(sections.hdr_at..hdr_end),
                    eh_frame_hdr: Some(sections.hdr),
                    eh_frame_svma: Some(sections.frames_at..frames_end),
                    eh_frame: Some(sections.frames),
                    ..Default::default()
                };
                let (name, range) = (object.name.to_string(), object.range.clone());
                self.unwinder
                    .add_module(Module::new(name, range, object.bias, info));
            }
            self.objects.push(object);
        }
    }

    pub(crate) fn object(&self, address: u64) -> Option<&Object> {
        self.objects
            .iter()
            .find(|object| object.range.contains(&address))
    }

    /// Unwinds `self.stack`, which begins at `registers.sp`; again if an object was not known.
    pub(crate) fn walk(&mut self, registers: Registers, base: u64, how: How) -> Stack {
        let (mut addresses, mut complete) = self.addresses(registers, base);
        if addresses.iter().any(|&at| self.object(at).is_none()) {
            self.refresh();
            (addresses, complete) = self.addresses(registers, base);
        }
        // What lies in no object is made code, or no code at all: nothing beyond it is certain.
        if let Some(at) = addresses.iter().position(|&at| self.object(at).is_none()) {
            addresses.truncate(at + 1);
            complete = false;
        }
        Stack {
            frames: addresses.iter().map(|&at| self.frame(at)).collect(),
            complete,
            at: clock::ticks(),
            how,
        }
    }

    fn frame(&self, address: u64) -> Frame {
        match self.object(address) {
            Some(object) => {
                let offset = address.wrapping_sub(object.bias);
                Frame {
                    module: object.name.clone(),
                    build_id: object.build_id.clone(),
                    offset,
                    address,
                    function: object.function(offset),
                }
            }
            None => Frame {
                module: "".into(),
                build_id: "".into(),
                offset: address,
                address,
                function: None,
            },
        }
    }

    /// Addresses to look up, innermost first, and whether they reach the frame that holds `base`.
    fn addresses(&mut self, registers: Registers, base: u64) -> (Vec<u64>, bool) {
        let start = registers.sp;
        let stack = &self.stack;
        let mut read = |address: u64| {
            let at = usize::try_from(address.checked_sub(start).ok_or(())?).map_err(|_| ())?;
            let bytes = stack.get(at..at.checked_add(8).ok_or(())?).ok_or(())?;
            Ok(u64::from_le_bytes(bytes.try_into().map_err(|_| ())?))
        };
        let mut machine = native(registers);
        let mut address = FrameAddress::from_instruction_pointer(registers.pc);
        let mut addresses = Vec::with_capacity(64);
        while addresses.len() < DEEPEST {
            addresses.push(address.address_for_lookup());
            let caller =
                self.unwinder
                    .unwind_frame(address, &mut machine, &mut self.cache, &mut read);
            match caller {
                // The caller's stack begins above the base: this frame is the one that polls.
                Ok(_) if base > start && machine.sp() > base => return (addresses, true),
                Ok(Some(caller)) => match FrameAddress::from_return_address(caller) {
                    Some(caller) => address = caller,
                    None => return (addresses, false),
                },
                // Where a base is known, an end above it only means that a register was wrong.
                Ok(None) => return (addresses, base <= start),
                // The return address lies beyond what was copied, which ends above the base.
                Err(Error::CouldNotReadStack(at)) if base > start && at > base => {
                    return (addresses, at - base < LARGEST);
                }
                Err(_) => return (addresses, false),
            }
        }
        (addresses, false)
    }
}

#[cfg(target_arch = "x86_64")]
fn native(registers: Registers) -> UnwindRegsNative {
    UnwindRegsNative::new(registers.pc, registers.sp, registers.fp)
}

#[cfg(target_arch = "aarch64")]
fn native(registers: Registers) -> UnwindRegsNative {
    // The usual mask: signatures of return addresses lie in the upper bits.
    UnwindRegsNative::new_with_ptr_auth_mask(
        framehop::aarch64::PtrAuthMask::new_24_40(),
        registers.lr,
        registers.sp,
        registers.fp,
    )
}
