//! Measures rstprobe: `cargo xtask bench [SECTION ...] [--json FILE]`.
//!
//! Without a section all of them run. Exit status 1 when a limit is missed, 2 when it could not be measured.

use std::{
    fs,
    io::{self, BufWriter, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use probe_tests::bench::{Report, SECTIONS, Section, Setting, capture};

const USAGE: &str = "usage: bench [--json FILE] [--rounds N] [--packets N] [--gap-us N] [--core N] [--seed N] [--write FILE] [--quick] [--only TEXT] [SECTION ...]\n\
    --quick: without what takes long, a million flows and more\n\
    --only TEXT: of program, drain, scaling and tracker only the rows with this in their names\n\
    --write FILE: only write the capture that is measured with";

struct Asked {
    setting: Setting,
    sections: Vec<&'static Section>,
    json: Option<PathBuf>,
    write: Option<PathBuf>,
}

fn main() -> ExitCode {
    match start() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            let _closed: Option<()> = writeln!(io::stderr(), "bench: {error:#}").ok();
            ExitCode::from(2)
        }
    }
}

fn start() -> anyhow::Result<bool> {
    let folder = tempfile::tempdir()?;
    let asked = parse(std::env::args().skip(1), folder.path().to_path_buf())?;
    if let Some(path) = &asked.write {
        let file = BufWriter::new(fs::File::create(path)?);
        capture::mixed(file, asked.setting.seed, asked.setting.packets, asked.setting.gap_us)?;
        return Ok(true);
    }
    let mut report = Report::default();
    for section in &asked.sections {
        // What was measured before, and what comes after, is not lost with it.
        if let Err(error) = (section.run)(&asked.setting, &mut report) {
            report.fail(section.name, &error);
        }
    }
    io::stdout().lock().write_all(report.table().as_bytes())?;
    if let Some(path) = &asked.json {
        fs::write(path, serde_json::to_string_pretty(&report.json())? + "\n")?;
    }
    Ok(report.holds())
}

fn parse(mut words: impl Iterator<Item = String>, folder: PathBuf) -> anyhow::Result<Asked> {
    let binary = std::env::var_os("RSTPROBE_BIN").map_or_else(beside, PathBuf::from);
    let mut setting = Setting {
        binary,
        rounds: 5,
        core: 1,
        packets: 1_200_000,
        gap_us: 100,
        seed: 20_240_229,
        quick: false,
        only: String::new(),
        folder,
    };
    let (mut sections, mut json, mut write) = (Vec::new(), None, None);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| anyhow::anyhow!("{word} needs a value\n{USAGE}"));
        match word.as_str() {
            "--json" => json = Some(value()?.into()),
            "--quick" => setting.quick = true,
            "--only" => setting.only = value()?,
            "--write" => write = Some(value()?.into()),
            "--rounds" => setting.rounds = value()?.parse::<usize>()?.max(1),
            "--packets" => setting.packets = value()?.parse()?,
            "--gap-us" => setting.gap_us = value()?.parse()?,
            "--core" => setting.core = value()?.parse()?,
            "--seed" => setting.seed = value()?.parse()?,
            name => match SECTIONS.iter().find(|section| section.name == name) {
                Some(section) => sections.push(section),
                None => anyhow::bail!("no section {name}\n{USAGE}\n{}", known()),
            },
        }
    }
    if sections.is_empty() {
        sections.extend(SECTIONS);
    }
    Ok(Asked { setting, sections, json, write })
}

/// The binary beside this one.
fn beside() -> PathBuf {
    let own = std::env::current_exe().unwrap_or_default();
    own.with_file_name("rstprobe")
}

fn known() -> String {
    let lines: Vec<String> =
        SECTIONS.iter().map(|section| format!("  {:10} {}", section.name, section.about)).collect();
    lines.join("\n")
}
