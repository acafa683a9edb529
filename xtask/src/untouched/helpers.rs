//! The kernel's helpers: which leave packets alone, and what they return or write. All others are refused.

/// What a call does, as far as packets and pointers go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Effect {
    /// Returns a number.
    Number,
    /// Returns a pointer into a map or ring buffer, or null.
    Memory,
    /// Writes where this argument (1 to 5) points to, and returns a number.
    Writes(usize),
    /// Hands the frame to a socket; its third argument has the action of last resort.
    Redirects,
    /// Makes room for metadata in front of the frame, whose bytes stay as they are.
    MakesRoom,
}

/// Number (include/uapi/linux/bpf.h), name, and what it does.
const KNOWN: &[(i32, &str, Effect)] = &[
    (1, "map_lookup_elem", Effect::Memory),
    (2, "map_update_elem", Effect::Number),
    (3, "map_delete_elem", Effect::Number),
    (5, "ktime_get_ns", Effect::Number),
    (8, "get_smp_processor_id", Effect::Number),
    (14, "get_current_pid_tgid", Effect::Number),
    (16, "get_current_comm", Effect::Writes(1)),
    (26, "skb_load_bytes", Effect::Writes(3)),
    (51, "redirect_map", Effect::Redirects),
    (54, "xdp_adjust_meta", Effect::MakesRoom),
    (80, "get_current_cgroup_id", Effect::Number),
    (113, "probe_read_kernel", Effect::Writes(1)),
    (130, "ringbuf_output", Effect::Number),
    (131, "ringbuf_reserve", Effect::Memory),
    (132, "ringbuf_submit", Effect::Number),
    (133, "ringbuf_discard", Effect::Number),
    (188, "xdp_get_buff_len", Effect::Number),
    (189, "xdp_load_bytes", Effect::Writes(3)),
];

/// Some that write packets or send them elsewhere, for their names.
const WRITERS: &[(i32, &str)] = &[
    (9, "skb_store_bytes"),
    (10, "l3_csum_replace"),
    (11, "l4_csum_replace"),
    (12, "tail_call"),
    (13, "clone_redirect"),
    (18, "skb_vlan_push"),
    (19, "skb_vlan_pop"),
    (23, "redirect"),
    (31, "skb_change_proto"),
    (38, "skb_change_tail"),
    (39, "skb_pull_data"),
    (43, "skb_change_head"),
    (44, "xdp_adjust_head"),
    (50, "skb_adjust_room"),
    (65, "xdp_adjust_tail"),
    (152, "redirect_neigh"),
    (155, "redirect_peer"),
    (190, "xdp_store_bytes"),
];

/// What the helper of that number does; `None` where it is not known to leave packets alone.
pub(super) fn effect(number: i32) -> Option<Effect> {
    KNOWN.iter().find(|(known, ..)| *known == number).map(|(.., effect)| *effect)
}

/// Its name, as far as it has one here.
pub(super) fn name(number: i32) -> String {
    let known = KNOWN.iter().map(|(number, name, _)| (*number, *name));
    let name = known.chain(WRITERS.iter().copied()).find(|(known, _)| *known == number).map(|(_, name)| name);
    name.map_or_else(|| format!("helper {number}"), |name| format!("bpf_{name}"))
}
