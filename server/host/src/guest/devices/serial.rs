//! The serial port: rust-vmm's 16550A, between the console's output and input.

use std::{
    convert::Infallible,
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError},
};

use vm_superio::{Serial, Trigger, serial::NoEvents};

use crate::{console::Console, guest::ConsolePort};

/// A serial port that several vCPUs may use.
#[derive(Debug)]
pub(super) struct SerialPort {
    device: Mutex<Serial<NoInterrupt, NoEvents, Output>>,
    console: Arc<Console>,
}

/// There is no interrupt controller; a guest has to ask.
#[derive(Debug)]
struct NoInterrupt;

/// Where the device writes to.
#[derive(Debug)]
struct Output(Arc<Console>);

impl SerialPort {
    pub(super) fn new(console: Arc<Console>) -> Self {
        Self {
            device: Mutex::new(Serial::new(NoInterrupt, Output(Arc::clone(&console)))),
            console,
        }
    }

    /// Writes to one of the 8 registers.
    pub(super) fn write(&self, register: u16, value: u8) {
        let mut device = self.device.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = device.write(low(register), value) {
            tracing::debug!(?error, "a byte of serial output is lost");
        }
    }

    /// Reads one of the 8 registers, after input that waits has been moved into the device, as far as it has room.
    pub(super) fn read(&self, register: u16) -> u8 {
        let mut device = self.device.lock().unwrap_or_else(PoisonError::into_inner);
        if device.fifo_capacity() > 0 {
            // Refused would be input for which there is no room, and there is. In loopback mode none is taken.
            self.console
                .take_input(|waiting| device.enqueue_raw_bytes(waiting).unwrap_or(0));
        }
        device.read(low(register))
    }
}

fn low(register: u16) -> u8 {
    register.to_le_bytes()[0]
}

impl Trigger for NoInterrupt {
    type E = Infallible;

    fn trigger(&self) -> Result<(), Infallible> {
        Ok(())
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(ConsolePort::Serial, bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
