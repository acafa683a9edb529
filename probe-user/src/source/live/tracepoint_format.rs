//! Format of a tracepoint: where its record keeps each field, and what the numbers of an enumeration are called.

use std::fs;

use super::tracefs::{TRACEFS, with_tracefs};

/// The text of a `format` file of tracefs.
pub(super) struct TracepointFormat {
    text: String,
}

impl TracepointFormat {
    /// That of a tracepoint of this kernel, such as `tcp/tcp_send_reset`; `None` when there is none, or it may not be read.
    ///
    /// # Errors
    /// Why tracefs cannot be had, for people.
    pub(super) fn of_this_kernel(tracepoint: &str) -> Result<Option<Self>, String> {
        let format = |root: &&str| fs::read_to_string(format!("{root}/events/{tracepoint}/format")).ok();
        Ok(with_tracefs(|| TRACEFS.iter().find_map(format))?.map(|text| Self { text }))
    }

    #[cfg(test)]
    pub(super) fn of_text(text: &str) -> Self {
        Self { text: text.to_owned() }
    }

    /// Offset of a field in the record, bytes.
    pub(super) fn offset(&self, field: &str) -> Option<u32> {
        let line = self.text.lines().filter(|line| line.trim_start().starts_with("field:")).find(|line| {
            let declaration = line.split(';').next().unwrap_or_default();
            let name = declaration.rsplit([' ', '*']).next().unwrap_or_default();
            name.split('[').next() == Some(field)
        })?;
        line.split("offset:").nth(1)?.split(';').next()?.trim().parse().ok()
    }

    /// Offsets of several fields; `None` when one is missing.
    pub(super) fn offsets<const N: usize>(&self, fields: [&str; N]) -> Option<[u32; N]> {
        let mut offsets = [0; N];
        for (field, offset) in fields.iter().zip(&mut offsets) {
            *offset = self.offset(field)?;
        }
        Some(offsets)
    }

    /// Names of the values of `field` by number, below `limit`; those without a name are empty.
    pub(super) fn names(&self, field: &str, limit: usize) -> Option<Vec<String>> {
        let symbols = self.text.split(&format!("__print_symbolic(REC->{field},")).nth(1)?;
        let mut names = Vec::new();
        for pair in symbols.split('{').skip(1) {
            let (number, name) = pair.split('}').next()?.split_once(',')?;
            let number: usize = number.trim().parse().ok()?;
            if number >= limit {
                continue;
            }
            if names.len() <= number {
                names.resize(number + 1, String::new());
            }
            name.trim().trim_matches('"').clone_into(&mut names[number]);
        }
        Some(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMAT: &str = r#"name: kfree_skb
	field:int common_pid;	offset:4;	size:4;	signed:1;
	field:void * skbaddr;	offset:8;	size:8;	signed:0;
	field:__u8 saddr[28];	offset:32;	size:28;	signed:0;
	field:enum skb_drop_reason reason;	offset:36;	size:4;	signed:0;
print fmt: "x", REC->skbaddr, __print_symbolic(REC->reason, { 2, "NOT_SPECIFIED" }, { 4, "NO_SOCKET" }, { 900, "FAR" })"#;

    #[test]
    fn fields_and_names_are_found() {
        let format = TracepointFormat::of_text(FORMAT);
        assert_eq!(format.offsets(["skbaddr", "saddr", "reason"]), Some([8, 32, 36]));
        assert_eq!(format.offsets(["skbaddr", "protocol"]), None);
        let names = format.names("reason", 128).expect("an enumeration");
        assert_eq!(names, ["", "", "NOT_SPECIFIED", "", "NO_SOCKET"]);
        assert_eq!(format.names("state", 128), None);
    }
}
