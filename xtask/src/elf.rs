//! As much of ELF as a BPF object needs: its functions, their instructions, and the names that relocations give to calls.
//!
//! Little-endian ELF64 only. Every offset is checked: a cut file is an error, never a panic.

use anyhow::{Context, Result, bail};

const SYMTAB: u32 = 2;
const REL: u32 = 9;
const FUNCTION: u8 = 2;

/// A function of the object.
pub(crate) struct Function<'a> {
    /// Its name.
    pub(crate) name: String,
    /// The section it is in; its name says what kind of program it is.
    pub(crate) section: String,
    /// Its instructions, 8 bytes each.
    pub(crate) code: &'a [u8],
    /// (offset from the start of the function, symbol) of what the loader still has to fill in.
    pub(crate) relocations: Vec<(u64, String)>,
}

struct Section {
    name: u32,
    kind: u32,
    offset: u64,
    size: u64,
    link: u32,
    info: u32,
}

struct Symbol {
    name: String,
    kind: u8,
    section: u16,
    value: u64,
    size: u64,
}

/// The functions of an object, in the order of its symbols.
pub(crate) fn functions(file: &[u8]) -> Result<Vec<Function<'_>>> {
    if file.get(..6) != Some(b"\x7fELF\x02\x01") {
        bail!("not a little-endian ELF64 file");
    }
    let sections = sections(file)?;
    let names = sections.get(u16_at(file, 62)? as usize).context("no section names")?;
    let table = sections.iter().find(|s| s.kind == SYMTAB).context("no symbol table")?;
    let symbols = symbols(file, &sections, table)?;
    let mut found = Vec::new();
    for symbol in symbols.iter().filter(|s| s.kind == FUNCTION && s.section != 0) {
        let section = sections.get(symbol.section as usize).context("symbol of no section")?;
        let start = section.offset.checked_add(symbol.value).context("symbol beyond the file")?;
        found.push(Function {
            name: symbol.name.clone(),
            section: text_at(file, names, section.name)?,
            code: slice(file, start, symbol.size)?,
            relocations: relocations(file, &sections, symbol, &symbols)?,
        });
    }
    Ok(found)
}

fn sections(file: &[u8]) -> Result<Vec<Section>> {
    let (start, size, count) = (u64_at(file, 40)?, u16_at(file, 58)? as u64, u16_at(file, 60)? as u64);
    let read = |at: usize| {
        Ok(Section {
            name: u32_at(file, at)?,
            kind: u32_at(file, at + 4)?,
            offset: u64_at(file, at + 24)?,
            size: u64_at(file, at + 32)?,
            link: u32_at(file, at + 40)?,
            info: u32_at(file, at + 44)?,
        })
    };
    (0..count).map(|index| read(start.saturating_add(index * size) as usize)).collect()
}

fn symbols(file: &[u8], sections: &[Section], table: &Section) -> Result<Vec<Symbol>> {
    let names = sections.get(table.link as usize).context("no symbol names")?;
    let bytes = slice(file, table.offset, table.size)?;
    let read = |entry: &[u8]| {
        Ok(Symbol {
            name: text_at(file, names, u32_at(entry, 0)?)?,
            kind: entry[4] & 15,
            section: u16_at(entry, 6)?,
            value: u64_at(entry, 8)?,
            size: u64_at(entry, 16)?,
        })
    };
    bytes.chunks_exact(24).map(read).collect()
}

fn relocations(file: &[u8], sections: &[Section], of: &Symbol, symbols: &[Symbol]) -> Result<Vec<(u64, String)>> {
    let mut found = Vec::new();
    for section in sections.iter().filter(|s| s.kind == REL && s.info == of.section as u32) {
        for entry in slice(file, section.offset, section.size)?.chunks_exact(16) {
            let (offset, symbol) = (u64_at(entry, 0)?, u32_at(entry, 12)?);
            if let Some(within) = offset.checked_sub(of.value).filter(|within| *within < of.size) {
                let name = symbols.get(symbol as usize).context("relocation to no symbol")?.name.clone();
                found.push((within, name));
            }
        }
    }
    Ok(found)
}

fn slice(file: &[u8], start: u64, size: u64) -> Result<&[u8]> {
    let end = start.checked_add(size).context("size beyond the file")?;
    file.get(start as usize..end as usize).context("cut short")
}

fn text_at(file: &[u8], table: &Section, offset: u32) -> Result<String> {
    let bytes = slice(file, table.offset, table.size)?.get(offset as usize..).context("name beyond its table")?;
    let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
    Ok(String::from_utf8_lossy(&bytes[..end]).into_owned())
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N]> {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).copied().context("cut short")
}

fn u16_at(bytes: &[u8], at: usize) -> Result<u16> {
    array(bytes, at).map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32> {
    array(bytes, at).map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Result<u64> {
    array(bytes, at).map(u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header, one program section with two instructions, a relocation, symbols and names; sections 1 to 5.
    fn object() -> Vec<u8> {
        let mut file = b"\x7fELF\x02\x01\x01".to_vec();
        file.resize(64, 0);
        let names = b"\0xdp\0main\0memset\0".to_vec();
        let code = [[0x85, 0x10, 0, 0, 0xff, 0xff, 0xff, 0xff], [0x95, 0, 0, 0, 0, 0, 0, 0]].concat();
        let relocation = [0_u64.to_le_bytes(), (2_u64 << 32 | 0xa).to_le_bytes()].concat();
        let mut symbols = vec![0; 24];
        symbols.extend([5, 0, 0, 0, 0x12, 0, 1, 0].iter().chain(&0_u64.to_le_bytes()).chain(&16_u64.to_le_bytes()));
        symbols.extend([10, 0, 0, 0, 0x10, 0, 0, 0].iter().chain(&[0; 16]));
        let mut headers = vec![[0_u64; 8]];
        for (kind, link_info, name, bytes) in
            [(1, 0, 1, &code), (9, 1_u64 << 32 | 3, 0, &relocation), (2, 4, 0, &symbols), (3, 0, 0, &names)]
        {
            headers.push([name | kind << 32, 0, 0, file.len() as u64, bytes.len() as u64, link_info, 0, 0]);
            file.extend(bytes);
        }
        let start = file.len() as u64;
        file[40..48].copy_from_slice(&start.to_le_bytes());
        file[58..64].copy_from_slice(&[64, 0, 5, 0, 4, 0]);
        file.extend(headers.iter().flatten().flat_map(|word| word.to_le_bytes()));
        file
    }

    #[test]
    fn a_function_comes_with_code_and_relocations() {
        let file = object();
        let found = functions(&file).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!((&*found[0].name, &*found[0].section, found[0].code.len()), ("main", "xdp", 16));
        assert_eq!(found[0].relocations, [(0, "memset".to_owned())]);
    }

    #[test]
    fn cut_files_are_errors() {
        let file = object();
        // Of the last section header, the last two fields are not read.
        for length in 0..file.len() - 16 {
            assert!(functions(&file[..length]).is_err(), "{length}");
        }
    }
}
