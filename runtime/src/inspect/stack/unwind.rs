//! From a copy of a thread's stack to frames: module and offset of each. Runs on the watchdog.
//!
//! A thread that waits in the kernel is read from outside first, which its calls do not notice;
//! only if that does not reach the frame that polls is it signalled. Resolves no names.

use std::sync::atomic::Ordering;

use framehop::{
    CacheNative, Error, ExplicitModuleSectionInfo, FrameAddress, MayAllocateDuringUnwind, Module,
    UnwindRegsNative, Unwinder, UnwinderNative,
};

use super::capture::{self, Bounds, CAP, Capture, Registers};
use super::modules::{self, Object};
use super::{Frame, How, Sampler, Stack};
use crate::clock;
use crate::inspect::cause::InCall;
use crate::inspect::cause::proc::Probe;
use crate::record::LoopRecord;

/// Deeper stacks are cut, and are not complete.
const DEEPEST: usize = 512;

/// No frame is larger than this.
const LARGEST: u64 = 1 << 20;

/// Stands for a frame pointer that is not known: not null, which would mean the outermost frame,
/// and no address.
const NO_POINTER: u64 = 8;

pub(crate) struct Unwinding {
    /// `None`: it unwinds what others copied.
    capture: Option<Capture>,
    unwinder: UnwinderNative<Vec<u8>, MayAllocateDuringUnwind>,
    cache: CacheNative<MayAllocateDuringUnwind>,
    objects: Vec<Object>,
    stack: Vec<u8>,
}

impl Unwinding {
    pub(crate) fn new() -> Result<Self, String> {
        Ok(Self::with(Some(Capture::new()?), Vec::with_capacity(CAP)))
    }

    /// One that takes no stacks, for those that threads copied of themselves.
    pub(crate) fn of_copies() -> Self {
        Self::with(None, Vec::new())
    }

    fn with(capture: Option<Capture>, stack: Vec<u8>) -> Self {
        let mut unwinding = Self {
            capture,
            unwinder: UnwinderNative::new(),
            cache: CacheNative::new(),
            objects: Vec::new(),
            stack,
        };
        unwinding.refresh();
        unwinding
    }

    /// The stack of a copy.
    pub(super) fn copied(&mut self, copied: &super::here::Copied) -> Stack {
        self.stack.clone_from(&copied.bytes);
        self.walk(copied.registers, copied.base, How::Signal)
    }

    /// Ticks that the last handler took.
    pub(crate) fn handler_took(&self) -> u64 {
        self.capture.as_ref().map_or(0, Capture::took)
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

    fn object(&self, address: u64) -> Option<&Object> {
        self.objects
            .iter()
            .find(|object| object.range.contains(&address))
    }

    /// Unwinds `self.stack`, which begins at `registers.sp`; again if an object was not known.
    fn walk(&mut self, registers: Registers, base: u64, how: How) -> Stack {
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
            samples: 1,
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

    /// Reads a thread that waits in the kernel. `None`: it does not, or that does not suffice.
    fn read_outside(&mut self, probe: &Probe, bounds: Bounds) -> Option<Stack> {
        // A thread whose CPU clock stands still from here to the end has not moved.
        let cpu = probe.read().cpu?;
        let call = probe.call()?;
        let (InCall::Call { sp, pc, .. } | InCall::Fault { sp, pc }) = call else {
            return None;
        };
        let length = (bounds.limit(sp)? - sp) as usize;
        self.stack.resize(length, 0);
        let read = capture::read_memory(sp, &mut self.stack);
        self.stack.truncate(read);
        if probe.call() != Some(call) || probe.read().cpu != Some(cpu) {
            return None;
        }
        let registers = Registers {
            pc,
            sp,
            fp: NO_POINTER,
            lr: NO_POINTER,
        };
        let stack = self.walk(registers, bounds.base, How::Outside);
        // Frame and link registers are not told: where a frame needs them the walk ends early.
        stack.complete.then_some(stack)
    }
}

impl Sampler for Unwinding {
    fn take(&mut self, record: &LoopRecord, probe: &Probe) -> Result<Stack, String> {
        let word = |index: usize| record.facts.stack[index].load(Ordering::Relaxed);
        let (low, size) = (word(0), word(1));
        if size == 0 {
            return Err("the bounds of the thread's stack are not known".to_owned());
        }
        let base = record.current.read().map_or(0, |moment| moment.base as u64);
        let bounds = Bounds {
            low,
            high: low + size,
            base,
        };
        if let Some(stack) = self.read_outside(probe, bounds) {
            return Ok(stack);
        }
        let capture = self
            .capture
            .as_mut()
            .ok_or("this one takes no stacks".to_owned())?;
        if probe.blocks(capture.signal()) == Some(true) {
            return Err(format!("the thread blocks signal {}", capture.signal()));
        }
        let registers = {
            // While this is held the loop cannot leave the thread.
            let (_leaving, tid) = record.signalling();
            if tid != probe.tid {
                return Err("the loop has left its thread".to_owned());
            }
            capture.ask(tid, bounds, &mut self.stack)?
        };
        if self.stack.is_empty() {
            return Err("the thread runs on a stack of its own making".to_owned());
        }
        Ok(self.walk(registers, base, How::Signal))
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

#[cfg(test)]
mod tests;
