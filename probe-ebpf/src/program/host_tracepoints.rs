//! Host tracepoints: report errors that this kernel gives to TCP sockets (`sock:inet_sk_error_report`) and TCP segments that it
//! drops (`skb:kfree_skb`), for `--host`.
//!
//! A busy host drops and fails often: everything that is not TCP, and reasons that nobody asked for, end at the first
//! comparison. Offsets differ between kernels; the loader takes them from the tracepoints' formats and from the kernel's type
//! information, and sets them here.

use aya_ebpf::{
    helpers::{bpf_ktime_get_ns, bpf_probe_read_kernel},
    macros::{map, tracepoint},
    maps::{Array, RingBuf},
    programs::TracePointContext,
};
use probe_ebpf::layout::{DROP_REASONS, EVENT_DROP, EVENT_SOCKET_ERROR, HostEvent};

use crate::tables::global;

/// Events on their way to the agent.
#[map]
static HOST_EVENTS: RingBuf = RingBuf::with_byte_size(1 << 18, 0);
/// Events that found no room in `HOST_EVENTS`.
#[map]
static HOST_EVENTS_LOST: Array<u64> = Array::with_max_entries(1, 0);

// Set by the loader from the format of `sock:inet_sk_error_report`.
#[unsafe(no_mangle)]
static ERROR_OFFSET: u32 = 8;
#[unsafe(no_mangle)]
static ERROR_SOURCE_PORT_OFFSET: u32 = 12;
#[unsafe(no_mangle)]
static ERROR_DESTINATION_PORT_OFFSET: u32 = 14;
#[unsafe(no_mangle)]
static ERROR_PROTOCOL_OFFSET: u32 = 18;
#[unsafe(no_mangle)]
static ERROR_SOURCE_OFFSET: u32 = 28;
#[unsafe(no_mangle)]
static ERROR_DESTINATION_OFFSET: u32 = 44;

// Set by the loader from the format of `skb:kfree_skb`, and from the type `sk_buff`.
#[unsafe(no_mangle)]
static DROP_SKB_OFFSET: u32 = 8;
#[unsafe(no_mangle)]
static DROP_PROTOCOL_OFFSET: u32 = 32;
#[unsafe(no_mangle)]
static DROP_REASON_OFFSET: u32 = 36;
#[unsafe(no_mangle)]
static SKB_HEAD_OFFSET: u32 = 0;
#[unsafe(no_mangle)]
static SKB_NETWORK_HEADER_OFFSET: u32 = 0;
/// Bit N: reason N is reported.
#[unsafe(no_mangle)]
static DROP_REASONS_LOW: u64 = 0;
#[unsafe(no_mangle)]
static DROP_REASONS_HIGH: u64 = 0;

const TCP: u8 = 6;
const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;
/// First four octets of the group of IPv4-mapped addresses (RFC 4291 2.5.5.2), as a word in memory order.
const MAPPED: u32 = u32::from_be(0x0000_ffff);

/// Reports one error that a socket is given.
#[tracepoint(category = "sock", name = "inet_sk_error_report")]
fn rstprobe_socket_error(ctx: TracePointContext) -> u32 {
    // Nothing to be read is nothing to be reported: the offsets are those of this kernel's format.
    if let Some(event) = socket_error(&ctx) {
        report(&event);
    }
    0
}

fn socket_error(ctx: &TracePointContext) -> Option<HostEvent> {
    let (protocol, error) = (global!(ERROR_PROTOCOL_OFFSET), global!(ERROR_OFFSET));
    let (source, destination) = (global!(ERROR_SOURCE_OFFSET), global!(ERROR_DESTINATION_OFFSET));
    let (source_port, destination_port) = (global!(ERROR_SOURCE_PORT_OFFSET), global!(ERROR_DESTINATION_PORT_OFFSET));
    // SAFETY: reads of the tracepoint's own record, at the offsets that its format names; a fault gives an error.
    unsafe {
        let protocol: u16 = ctx.read_at(protocol as usize).ok()?;
        let error: i32 = ctx.read_at(error as usize).ok()?;
        // An error queue is reported by error 0: time stamps, sent without a copy.
        if protocol != u16::from(TCP) || error == 0 {
            return None;
        }
        Some(HostEvent {
            time_ns: bpf_ktime_get_ns(),
            kind: EVENT_SOCKET_ERROR,
            code: error.unsigned_abs(),
            source: ctx.read_at(source as usize).ok()?,
            destination: ctx.read_at(destination as usize).ok()?,
            source_port: ctx.read_at(source_port as usize).ok()?,
            destination_port: ctx.read_at(destination_port as usize).ok()?,
            flags: 0,
        })
    }
}

/// Reports one TCP segment that is dropped for a reason that was asked for.
#[tracepoint(category = "skb", name = "kfree_skb")]
fn rstprobe_drop(ctx: TracePointContext) -> u32 {
    if let Some(event) = dropped(&ctx) {
        report(&event);
    }
    0
}

fn dropped(ctx: &TracePointContext) -> Option<HostEvent> {
    let (reason, protocol, skb) =
        (global!(DROP_REASON_OFFSET), global!(DROP_PROTOCOL_OFFSET), global!(DROP_SKB_OFFSET));
    // SAFETY: as above. The reason by itself: of most drops nothing more is asked.
    let reason: u32 = unsafe { ctx.read_at(reason as usize) }.ok()?;
    if !is_asked_for(reason) {
        return None;
    }
    // SAFETY: as above.
    let (protocol, skb): (u16, *const u8) =
        unsafe { (ctx.read_at(protocol as usize).ok()?, ctx.read_at(skb as usize).ok()?) };
    let (head, network_header) = (global!(SKB_HEAD_OFFSET), global!(SKB_NETWORK_HEADER_OFFSET));
    // SAFETY: a kernel address; `bpf_probe_read_kernel` reads nothing that is not there. The offsets are those of this
    // kernel's `sk_buff`.
    let network = unsafe {
        let head: *const u8 = read(skb, head)?;
        let offset: u16 = read(skb, network_header)?;
        head.wrapping_add(offset.into())
    };
    let mut event = HostEvent { time_ns: 0, kind: EVENT_DROP, code: reason, ..HostEvent::default() };
    let header_len = addresses(network, protocol, &mut event)?;
    // SAFETY: as above.
    let (ports, flags): ([u16; 2], u8) = unsafe { (read(network, header_len)?, read(network, header_len + 13)?) };
    event.source_port = u16::from_be(ports[0]);
    event.destination_port = u16::from_be(ports[1]);
    event.flags = flags.into();
    // SAFETY: without arguments.
    event.time_ns = unsafe { bpf_ktime_get_ns() };
    Some(event)
}

/// Reads the addresses of a TCP packet; how long its IP header is. `None` for other protocols, for fragments that do not begin
/// with the TCP header, and behind extension headers.
fn addresses(network: *const u8, protocol: u16, event: &mut HostEvent) -> Option<u32> {
    // SAFETY: kernel addresses, read as above.
    unsafe {
        match protocol {
            ETHERTYPE_IPV4 => {
                let first: u8 = read(network, 0)?;
                let fragment: u16 = read(network, 6)?;
                let next: u8 = read(network, 9)?;
                if next != TCP || u16::from_be(fragment) & 0x1fff != 0 {
                    return None;
                }
                event.source = [0, 0, MAPPED, read(network, 12)?];
                event.destination = [0, 0, MAPPED, read(network, 16)?];
                Some(u32::from(first & 15) * 4)
            }
            ETHERTYPE_IPV6 => {
                let next: u8 = read(network, 6)?;
                event.source = read(network, 8)?;
                event.destination = read(network, 24)?;
                (next == TCP).then_some(40)
            }
            _ => None,
        }
    }
}

fn is_asked_for(reason: u32) -> bool {
    let word = if reason < 64 { global!(DROP_REASONS_LOW) } else { global!(DROP_REASONS_HIGH) };
    reason < DROP_REASONS as u32 && word >> (reason & 63) & 1 != 0
}

/// # Safety
/// `base + offset` is meant to be a kernel address; a wrong one gives `None`.
unsafe fn read<T>(base: *const u8, offset: u32) -> Option<T> {
    // SAFETY: the caller's; the helper checks that the memory is there.
    unsafe { bpf_probe_read_kernel(base.wrapping_add(offset as usize).cast::<T>()) }.ok()
}

fn report(event: &HostEvent) {
    if HOST_EVENTS.output::<HostEvent>(event, 0).is_err()
        && let Some(lost) = HOST_EVENTS_LOST.get_ptr_mut(0)
    {
        // SAFETY: a map value; two CPUs may lose an increment to each other, but never the fact that there was one.
        unsafe { *lost += 1 };
    }
}
