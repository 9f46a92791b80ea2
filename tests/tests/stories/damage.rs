//! Damage and old copies of a database are found, and never served: bytes that the disk changed, a file that was cut, a database from yesterday.
//!
//! What is damaged is drawn from a seed that is in the failure message.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use danso_tests::federation::{Federation, ROOT};
use danso_tests::node::{Imported, Node};
use danso_tests::process::{self, DONE, Ended, REFUSED, program, wait_for};
use danso_tests::truth::{Plan, Truth};

/// Paste the seed of a failure here.
const SEED: u64 = 20_260_625;
const PAGE: u64 = 4096;

/// splitmix64: enough for choosing places, and the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

/// Damages a file in one of three ways; says how.
fn damage(path: &Path, random: &mut Random) -> String {
    let way = random.below(3);
    damage_by(way, path, random)
}

fn damage_by(way: u64, path: &Path, random: &mut Random) -> String {
    let mut file = File::options().read(true).write(true).open(path).unwrap();
    let bytes = file.metadata().unwrap().len();
    match way {
        0 => {
            let at = random.below(bytes);
            let mut byte = [0];
            file.seek(SeekFrom::Start(at)).unwrap();
            file.read_exact(&mut byte).unwrap();
            let bit = 1 << random.below(8);
            file.seek(SeekFrom::Start(at)).unwrap();
            file.write_all(&[byte[0] ^ bit]).unwrap();
            format!("bit {bit} of byte {at}")
        }
        1 => {
            // A page that is no zeros already.
            let mut page = vec![0; PAGE as usize];
            loop {
                let at = random.below(bytes / PAGE) * PAGE;
                file.seek(SeekFrom::Start(at)).unwrap();
                file.read_exact(&mut page).unwrap();
                if page.iter().any(|byte| *byte != 0) {
                    file.seek(SeekFrom::Start(at)).unwrap();
                    file.write_all(&vec![0; PAGE as usize]).unwrap();
                    return format!("the page at {at} is zeros");
                }
            }
        }
        _ => {
            let left = random.below(bytes);
            file.set_len(left).unwrap();
            format!("cut to {left} of {bytes} bytes")
        }
    }
}

fn run_to_its_end(node: &Node) -> Ended {
    process::run(program("danso-node"), ["run".as_ref(), "--data".as_ref(), node.data.as_os_str()])
}

fn doctor(node: &Node) -> Ended {
    let args = ["doctor", "--output", "json", "--lang", "en", "--data"].map(std::ffi::OsStr::new);
    process::run(program("danso-node"), args.into_iter().chain([node.data.as_os_str()]))
}

/// A central node that took in a commune's book, and ended.
fn central(federation: &mut Federation, truth: &Truth) {
    let node = federation.node(ROOT);
    node.import_all("households", &truth.households("17065"));
    node.import_all("changes", &truth.changes("17065"));
    assert_eq!(federation.node_mut(ROOT).stop(), DONE);
}

/// Starts a copy of a node that listened at `from`, at an address of its own: whether it runs, or has refused its database.
#[track_caller]
fn comes_up(copy: &mut Node, from: &str, how: &str) -> bool {
    copy.readdress(from, &copy.listen.clone());
    copy.start();
    let up = wait_for(
        || format!("seed {SEED}, {how}: neither up nor down"),
        || match copy.is_running() {
            false => Some(false),
            true => (copy.admin(["log", "list"]).code == DONE).then_some(true),
        },
    );
    assert!(up || copy.logged().contains("store_damaged"), "seed {SEED}, {how}: {}", copy.logged());
    up
}

#[test]
fn whatever_the_disk_changed_while_a_node_was_stopped_is_found_at_its_start() {
    let mut federation = Federation::central();
    let plan = Plan { communes: &["17065"], households: 40, ..Plan::default() };
    let truth = Truth::simulate(&federation.path("sim"), &plan);
    central(&mut federation, &truth);
    let mut random = Random(SEED);
    for n in 0..24 {
        let copy = federation.node(ROOT).copy(federation.dir(), &format!("c{n}"));
        let how = damage(&copy.data.join("danso.db"), &mut random);
        let ended = run_to_its_end(&copy);
        assert_eq!(ended.code, REFUSED, "seed {SEED}, {how}: {}", ended.stderr);
        assert!(ended.stderr.contains("store_damaged") && ended.stderr.contains("recover"), "{how}: {}", ended.stderr);
        let said = doctor(&copy);
        assert_eq!(said.code, REFUSED, "seed {SEED}, {how}: {}\n{}", said.stdout, said.stderr);
        assert!(said.stdout.contains("store_damaged"), "{how}: {}", said.stdout);
        fs::remove_dir_all(&copy.data).unwrap();
    }
    // And nothing is found where nothing is.
    let whole = federation.node(ROOT).copy(federation.dir(), "whole");
    doctor(&whole).must(DONE);
    federation.node_mut(ROOT).run();
    let node = federation.node(ROOT);
    let said = node.admin(["doctor", "--output", "json"]).must(DONE).stdout;
    assert!(said.contains("\"database\"") && said.contains("\"logs\"") && said.contains("\"heads\""), "{said}");
    truth.holds_at(node, "17065", "local");
}

#[test]
fn after_a_power_cut_damaged_entries_are_never_served() {
    let mut federation = Federation::central();
    let plan = Plan { communes: &["17065"], households: 40, ..Plan::default() };
    let truth = Truth::simulate(&federation.path("sim"), &plan);
    central(&mut federation, &truth);
    let anchor = {
        federation.node_mut(ROOT).run();
        let anchor = federation.node(ROOT).status_text("anchor");
        federation.node_mut(ROOT).stop();
        anchor
    };
    let mut random = Random(SEED + 1);
    let (mut refused, mut found, mut harmless) = (0, 0, 0);
    for n in 0..16 {
        let mut copy = federation.node(ROOT).copy(federation.dir(), &format!("p{n}"));
        // As after a power cut: no word about what the file held.
        fs::remove_file(copy.data.join("danso.db.sha256")).unwrap();
        let how = damage(&copy.data.join("danso.db"), &mut random);
        if !comes_up(&mut copy, &federation.node(ROOT).listen, &how) {
            refused += 1;
            continue;
        }
        // It runs: every log that it shows verifies, or it says that it is damaged, and goes on saying so.
        let verified = copy.admin(["log", "verify", "--anchor", &anchor]);
        match verified.code {
            // What is derived was compared with the logs at the start, and made again where it was damaged.
            DONE => {
                truth.holds_at(&copy, "17065", "local");
                harmless += 1;
            }
            _ => {
                assert!(verified.stderr.contains("store_damaged"), "seed {SEED}, {how}: {}", verified.stderr);
                assert_eq!(copy.status_text("reason"), "store_damaged", "seed {SEED}, {how}");
                copy.admin(["doctor"]).refused_with("store_damaged");
                copy.admin(["period", "close", "--unit", "17065", "--month", "2021-12"]).refused_with("store_damaged");
                found += 1;
            }
        }
        copy.kill9();
    }
    println!("seed {SEED}: {refused} did not start, {found} found it when serving, {harmless} served right logs");
    assert!(refused > 0, "nothing was found at any start");
}

#[test]
fn a_root_whose_own_entries_can_be_read_is_made_again_from_them() {
    let mut federation = Federation::central();
    let plan = Plan { communes: &["17065"], households: 300, ..Plan::default() };
    let truth = Truth::simulate(&federation.path("sim"), &plan);
    central(&mut federation, &truth);
    let mut random = Random(SEED + 3);
    let (mut whole, mut lost) = (0, 0);
    for n in 0..12 {
        let mut copy = federation.node(ROOT).copy(federation.dir(), &format!("r{n}"));
        let database = copy.data.join("danso.db");
        // Of a file that was cut too much is missing.
        let how = damage_by(n % 2, &database, &mut random);
        assert_eq!(run_to_its_end(&copy).code, REFUSED, "seed {SEED}, {how}");
        let damaged = fs::read(&database).unwrap();
        if n == 0 {
            // Nothing says then how much the root wrote.
            let heads = fs::read(copy.data.join("heads")).unwrap();
            fs::remove_file(copy.data.join("heads")).unwrap();
            copy.recover(None).refused_with("not_found");
            fs::write(copy.data.join("heads"), heads).unwrap();
        }
        let ended = copy.recover(None);
        match ended.code {
            DONE => {
                copy.readdress(&federation.node(ROOT).listen, &copy.listen.clone());
                copy.run();
                copy.admin(["doctor"]).must(DONE);
                truth.holds_at(&copy, "17065", "local");
                assert_eq!(copy.stop(), DONE);
                whole += 1;
            }
            _ => {
                assert_eq!(ended.code, REFUSED, "seed {SEED}, {how}: {}", ended.stderr);
                assert!(ended.stderr.contains("danso-node restore"), "seed {SEED}, {how}: {}", ended.stderr);
                assert_eq!(fs::read(&database).unwrap(), damaged, "{how}: nothing was touched");
                lost += 1;
            }
        }
        fs::remove_dir_all(&copy.data).unwrap();
    }
    println!("seed {SEED}: {whole} were made again, of {lost} own entries are lost");
    assert!(whole > 0, "none was made again");
}

/// Changes a bit in a column of an entry, as the disk may while a node is cut off: no word about what the file held.
fn damage_entry(node: &Node, log: &str, at: u32, column: &str) {
    let script = "import sqlite3, sys
path, log, at, column = sys.argv[1:]
db = sqlite3.connect(path)
where = 'WHERE sequence = ? AND log = (SELECT id FROM log WHERE name = ?)'
data = bytearray(db.execute(f'SELECT {column} FROM entry {where}', (at, log)).fetchone()[0])
data[len(data) // 2] ^= 4
assert db.execute(f'UPDATE entry SET {column} = ? {where}', (data, at, log)).rowcount == 1
db.commit()
db.close()";
    let database = node.data.join("danso.db");
    let args = ["-c", script, database.to_str().unwrap(), log, &at.to_string(), column].map(str::to_owned);
    process::run("python3", args).must(DONE);
    fs::remove_file(node.data.join("danso.db.sha256")).unwrap();
}

#[test]
fn a_root_gets_a_damaged_entry_once_more_from_below_and_says_where_its_own_is_lost() {
    let mut federation = Federation::over(&["17065"]);
    let plan = Plan { communes: &["17065"], households: 40, ..Plan::default() };
    let truth = Truth::simulate(&federation.path("sim"), &plan);
    federation.node("17065").import_all("households", &truth.households("17065"));
    federation.node("17065").import_all("changes", &truth.changes("17065"));
    federation.settle();
    let [root, province, commune] = [ROOT, "40", "17065"].map(|unit| federation.node(unit).status_text("node"));
    let sizes = |node: &Node| {
        let logs = node.status()["logs"].as_array().unwrap().clone();
        logs.into_iter().map(|log| (log["log"].to_string(), log["entries"].clone())).collect::<Vec<_>>()
    };
    let before = sizes(federation.node(ROOT));
    let records = format!("{commune}/records");
    for (log, column) in [(&records, "envelope"), (&records, "leaf"), (&format!("{province}/directory"), "envelope")] {
        assert_eq!(federation.node_mut(ROOT).stop(), DONE);
        damage_entry(federation.node(ROOT), log, 0, column);
        let ended = run_to_its_end(federation.node(ROOT)).refused_with("store_damaged");
        assert!(ended.stderr.contains("danso-node recover"), "{log} {column}: {}", ended.stderr);
        let said = federation.node(ROOT).recover(None).must(DONE).stderr;
        assert!(said.contains("is damaged") && said.contains(log), "{log} {column}: {said}");
        federation.node_mut(ROOT).run();
        federation.node("40").admin(["link", "retry"]);
        let node = federation.node(ROOT);
        wait_for(
            || format!("{log} {column} does not come again: {}", node.status()),
            || (sizes(node) == before).then_some(()),
        );
        truth.holds_at(node, "17065", "local");
        node.admin(["doctor"]).must(DONE);
        node.admin(["log", "verify"]).must(DONE);
    }
    assert_eq!(federation.node_mut(ROOT).stop(), DONE);
    let copy = federation.node(ROOT).copy(federation.dir(), "own");
    damage_entry(&copy, &format!("{root}/directory"), 1, "leaf");
    let refused = copy.recover(None).refused_with("not_found").stderr;
    assert!(refused.contains("entry 1 of") && refused.contains("danso-node restore"), "{refused}");
}

#[test]
fn an_old_copy_of_the_database_is_noticed_and_nothing_is_written() {
    let mut federation = Federation::over(&["17065"]);
    let truth = Truth::simulate(&federation.path("sim"), &Plan { communes: &["17065"], ..Plan::default() });
    let commune = federation.node_mut("17065");
    commune.import_all("households", &truth.households("17065"));
    assert_eq!(commune.stop(), DONE);
    let database = commune.data.join("danso.db");
    let old = federation.path("yesterday.db");
    fs::copy(&database, &old).unwrap();
    let commune = federation.node_mut("17065");
    commune.run();
    commune.import_all("changes", &truth.changes("17065"));
    assert_eq!(commune.stop(), DONE);
    // Nobody above may help to notice it.
    assert_eq!(federation.node_mut("420").stop(), DONE);
    let today = federation.path("today.db");
    fs::copy(&database, &today).unwrap();
    fs::copy(&old, &database).unwrap();
    let commune = federation.node_mut("17065");
    commune.run();
    let status = commune.status();
    assert_eq!(status["reason"], "read_only", "{status}");
    assert!(status["detail"].as_str().unwrap().contains("danso-node recover --data"), "{status}");
    let entries = status["own_entries"].clone();
    commune.import("changes", &truth.changes("17065"), &[]).refused_with("read_only");
    commune.admin(["period", "close", "--unit", "17065", "--month", "2021-12"]).refused_with("read_only");
    commune.admin(["doctor"]).refused_with("read_only");
    assert_eq!(commune.status()["own_entries"], entries, "nothing was written");
    // The right database again, and all is well.
    assert_eq!(commune.stop(), DONE);
    fs::copy(&today, &database).unwrap();
    commune.run();
    assert_eq!(commune.status()["reason"], "", "{}", commune.status());
    federation.node_mut("420").run();
    federation.settle();
    federation.truth_holds(&truth);
}

#[test]
fn of_a_damaged_database_is_taken_over_what_can_be_read() {
    let mut federation = Federation::over(&["17065"]);
    let plan = Plan { communes: &["17065"], households: 40, ..Plan::default() };
    let truth = Truth::simulate(&federation.path("sim"), &plan);
    federation.node("17065").import_all("households", &truth.households("17065"));
    federation.settle();
    // What it writes now nobody else has.
    assert_eq!(federation.node_mut("420").stop(), DONE);
    federation.node("17065").import_all("changes", &truth.changes("17065"));
    let lost = federation.node("17065").status_text("node");
    assert_eq!(federation.node_mut("17065").stop(), DONE);
    federation.node_mut("420").run();
    let back = |name: &str, hurt: &mut dyn FnMut(&Path) -> String| {
        let copy = federation.node("17065").copy(federation.dir(), name);
        let how = hurt(&copy.data.join("danso.db"));
        assert_eq!(run_to_its_end(&copy).code, REFUSED, "{how}");
        let damaged = fs::read(copy.data.join("danso.db")).unwrap();
        let ended = copy.recover(Some(&federation.node("420").invite_lost(&lost)));
        assert_eq!(ended.code, DONE, "seed {SEED}, {how}: {}", ended.stderr);
        assert!(!ended.stderr.contains("another history"), "{how}: {}", ended.stderr);
        let aside = fs::read_dir(&copy.data).unwrap().flatten();
        let mut aside = aside.filter(|file| file.file_name().to_string_lossy().starts_with("danso.db.before-recover-"));
        assert!(
            aside.any(|file| fs::read(file.path()).unwrap() == damaged),
            "{how}: the damaged file is kept as it was"
        );
        (copy, how, ended.stderr)
    };
    let mut random = Random(SEED + 2);
    for n in 0..6 {
        let (copy, _, _) = back(&format!("c{n}"), &mut |path| damage(path, &mut random));
        fs::remove_dir_all(&copy.data).unwrap();
    }
    // A byte of the header that SQLite does not use: every page is whole, and nothing is lost.
    let (mut copy, _, said) = back("whole", &mut |path| {
        let mut file = File::options().write(true).open(path).unwrap();
        file.seek(SeekFrom::Start(72)).unwrap();
        file.write_all(&[1]).unwrap();
        "byte 72".into()
    });
    assert!(said.contains("is damaged") && !said.contains("not taken over"), "{said}");
    copy.run();
    copy.receipt_wait("district").must(DONE);
    truth.holds_at(federation.node("420"), "17065", "local");
}

/// Changes a bit in a page of an index, or of a table that is kept like one; not of the few values that say whose database it is.
fn damage_index(path: &Path, random: &mut Random) -> String {
    let mut file = fs::read(path).unwrap();
    let of = |page: &[u8]| matches!(page[0], 2 | 10) && !page.windows(6).any(|bytes| bytes == b"anchor");
    let pages: Vec<usize> = (0..file.len()).step_by(PAGE as usize).filter(|at| of(&file[*at..*at + 4096])).collect();
    let at = pages[random.below(pages.len() as u64) as usize] + random.below(PAGE) as usize;
    file[at] ^= 1 << random.below(8);
    fs::write(path, file).unwrap();
    format!("byte {at}")
}

#[test]
fn after_a_power_cut_an_index_that_the_disk_changed_hides_nobody() {
    let mut federation = Federation::central();
    let plan = Plan { communes: &["17065"], households: 40, ..Plan::default() };
    let truth = Truth::simulate(&federation.path("sim"), &plan);
    central(&mut federation, &truth);
    let mut random = Random(SEED + 4);
    let (mut refused, mut right) = (0, 0);
    for n in 0..24 {
        let mut copy = federation.node(ROOT).copy(federation.dir(), &format!("i{n}"));
        fs::remove_file(copy.data.join("danso.db.sha256")).unwrap();
        let how = damage_index(&copy.data.join("danso.db"), &mut random);
        if !comes_up(&mut copy, &federation.node(ROOT).listen, &how) {
            assert!(!copy.data.join("danso.db.sha256").exists(), "seed {SEED}, {how}: it was sealed");
            refused += 1;
            continue;
        }
        copy.admin(["doctor"]).must(DONE);
        for (form, file) in [("households", truth.households("17065")), ("changes", truth.changes("17065"))] {
            let again = copy.import(form, &file, &[]);
            let again = Imported::of(&again.stdout);
            assert_eq!((again.taken, again.waiting), (0, 0), "seed {SEED}, {how}: {form} came before");
        }
        truth.holds_at(&copy, "17065", "local");
        assert_eq!(copy.stop(), DONE);
        right += 1;
    }
    println!("seed {SEED}: {refused} did not start, {right} were made right");
    assert!(right > 12, "{refused} {right}");
}

/// Changes a character of what a PEM file holds.
fn damage_pem(path: &Path) {
    let mut text = fs::read(path).unwrap();
    let at = text.len() / 2 + usize::from(text[text.len() / 2] == b'\n');
    text[at] = if text[at] == b'A' { b'B' } else { b'A' };
    fs::write(path, text).unwrap();
}

#[test]
fn doctor_looks_at_every_file_that_a_start_needs() {
    let mut federation = Federation::over(&["17065"]);
    federation.settle();
    assert_eq!(federation.node_mut("17065").stop(), DONE);
    let remove = |path: &Path| fs::remove_file(path).unwrap();
    let garble = |path: &Path| fs::write(path, "listen = [").unwrap();
    type Hurt<'a> = &'a dyn Fn(&Path);
    let hurts: [(&str, Hurt<'_>); 8] = [
        ("danso.toml", &remove),
        ("danso.toml", &garble),
        ("keys/ca-cert.pem", &remove),
        ("keys/ca-cert.pem", &damage_pem),
        ("keys/parent-ca-cert.pem", &remove),
        ("keys/parent-ca-cert.pem", &damage_pem),
        ("keys/link-cert.pem", &remove),
        ("keys/link-cert.pem", &damage_pem),
    ];
    for (n, (file, hurt)) in hurts.into_iter().enumerate() {
        let copy = federation.node("17065").copy(federation.dir(), &format!("f{n}"));
        doctor(&copy).must(DONE);
        hurt(&copy.data.join(file));
        let said = doctor(&copy).refused_with("file_unfit");
        assert!(said.stdout.contains(file), "{file}: {}", said.stdout);
    }
    // And of another node: each is whole, and they do not belong together.
    let copy = federation.node("17065").copy(federation.dir(), "other");
    fs::copy(federation.node("420").data.join("keys/link-cert.pem"), copy.data.join("keys/link-cert.pem")).unwrap();
    doctor(&copy).refused_with("file_unfit");
    // A node that runs has a good one in memory, and says that its file is not.
    federation.node_mut("17065").run();
    let commune = federation.node("17065");
    assert_eq!(commune.status_text("renewal_reason"), "");
    damage_pem(&commune.data.join("keys/link-cert.pem"));
    assert_eq!(commune.status_text("renewal_reason"), "file_unfit");
    commune.admin(["doctor"]).refused_with("file_unfit");
}

#[test]
fn whoever_reads_what_doctor_prints_may_go() {
    let mut federation = Federation::central();
    assert_eq!(federation.node_mut(ROOT).stop(), DONE);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut doctor = std::process::Command::new(program("danso-node"));
    doctor.args(["doctor".as_ref(), "--data".as_ref(), federation.node(ROOT).data.as_os_str()]);
    let ended = doctor.stdout(writer).output().unwrap();
    assert_eq!((ended.status.code(), &*ended.stderr), (Some(DONE), &[][..]), "as if somebody had read it");
}
