//! Configuration files, good and bad, and the samples in deploy/config.

use super::*;

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new("danso.toml"))
}

#[test]
fn what_is_written_is_read_back() {
    let dir = tempfile::tempdir().expect("dir");
    let path = dir.path().join("danso.toml");
    let mut config = Config::new("17065".parse().expect("unit"), "127.0.0.1:0".parse().expect("address"));
    config.write(&path).expect("written");
    assert_eq!(Config::load(&path).expect("read"), config);
    config.parent = Some("quyhop.example.vn:7443".parse().expect("address"));
    config.advertise = Some("[2001:db8::7]:7443".parse().expect("address"));
    config.metrics = Some("127.0.0.1:0".parse().expect("address"));
    config.log_format = LogFormat::Json;
    config.log_filter = "info,danso_node=debug".into();
    config.certificate_life = Duration::from_secs(36 * 3600);
    config.write(&path).expect("written");
    assert_eq!(Config::load(&path).expect("read"), config);
}

#[test]
fn the_least_is_enough() {
    let config = parse("[node]\nunit = \"VN\"\nlisten = \"0.0.0.0:7443\"\n").expect("fine");
    assert_eq!((config.log_format, config.log_filter.as_str(), config.parent), (LogFormat::Human, "info", None));
}

#[test]
fn a_certificate_lives_from_seconds_to_ninety_days() {
    let life = |text: &str| parse(&format!("[node]\nunit = \"VN\"\nlisten = \"0.0.0.0:1\"\n[children]\n{text}\n"));
    assert_eq!(life("").expect("the default").certificate_life, Duration::from_secs(90 * 24 * 3600));
    for (text, seconds) in [("5s", 5), ("36h", 36 * 3600), ("90days", 90 * 24 * 3600)] {
        let config = life(&format!("certificate_life = {text:?}")).expect("fine");
        assert_eq!(config.certificate_life, Duration::from_secs(seconds));
    }
    for text in ["4s", "0s", "91days", "1000years", "90", "soon", "-5s"] {
        let error = life(&format!("certificate_life = {text:?}")).expect_err(text);
        let ConfigError::Invalid { problems, .. } = &error else { panic!("{error}") };
        assert_eq!((problems.len(), problems[0].key), (1, "children.certificate_life"), "{error}");
    }
}

#[test]
fn months_are_judged_as_configured() {
    let months = |text: &str| parse(&format!("[node]\nunit = \"VN\"\nlisten = \"0.0.0.0:1\"\n[months]\n{text}\n"));
    let config = months(
        "deadline = \"days 1-3\"\nsilent_after = \"20days\"\ndays_off = [\"2027-02-11\"]\n[months.deadlines]\n\
         commune = \"5 working days\"\n17065 = \"days 5, 25\"",
    )
    .expect("fine");
    let said: Vec<String> = config.months.deadlines.rules().map(|(scope, rule)| format!("{scope}: {rule}")).collect();
    assert_eq!(said, [": day 3", "commune: 5 working days", "17065: day 5"]);
    assert_eq!(config.months.silent_after, Duration::from_secs(20 * 24 * 3600));
    let dir = tempfile::tempdir().expect("dir");
    let path = dir.path().join("danso.toml");
    config.write(&path).expect("written");
    assert_eq!(Config::load(&path).expect("read"), config);
    for (text, key) in [
        ("deadline = \"soon\"", "months.deadline"),
        ("days_off = [\"2027-02\"]", "months.days_off"),
        ("silent_after = \"long\"", "months.silent_after"),
        ("[months.deadlines]\n\"no unit\" = \"day 5\"", "months.deadlines"),
        ("[months.deadlines]\ncommune = \"day 30\"", "months.deadlines"),
    ] {
        let error = months(text).expect_err(text);
        let ConfigError::Invalid { problems, .. } = &error else { panic!("{error}") };
        assert_eq!((problems.len(), problems[0].key), (1, key), "{error}");
    }
}

#[test]
fn all_wrong_values_are_reported_together() {
    let error = parse(
        "[node]\nunit = \"quá dài\"\nadvertise = \"0.0.0.0:7443\"\n[parent]\n[metrics]\nlisten = \"9464\"\n\
         [log]\nformat = \"xml\"\nfilter = \"a=b=c\"\n",
    )
    .expect_err("refused");
    let ConfigError::Invalid { problems, .. } = &error else { panic!("{error}") };
    let keys: Vec<_> = problems.iter().map(|problem| problem.key).collect();
    let all =
        ["node.unit", "node.listen", "node.advertise", "parent.address", "metrics.listen", "log.format", "log.filter"];
    assert_eq!(keys, all);
    let text = error.to_string();
    assert!(text.starts_with("danso.toml: 7 to set right\n"), "{text}");
    assert!(all.iter().all(|key| text.contains(&format!("\n  {key}: "))), "{text}");
}

#[test]
fn unknown_keys_and_broken_files_are_refused_with_their_line() {
    for (text, part) in [
        ("[node]\nunit = \"VN\"\nlistn = \"0.0.0.0:1\"\n", "listn"),
        ("[nodes]\n", "nodes"),
        ("[node]\nunit = 17065\n", "line 2"),
        ("[node\n", "line 1"),
    ] {
        let error = parse(text).expect_err(text);
        assert!(matches!(error, ConfigError::Syntax { .. }), "{error}");
        assert!(error.to_string().starts_with("danso.toml: ") && error.to_string().contains(part), "{error}");
    }
    let error = Config::load(Path::new("nowhere/danso.toml")).expect_err("absent");
    assert!(error.to_string().contains("nowhere/danso.toml"), "{error}");
}

#[test]
fn the_samples_of_each_tier_are_good() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/config");
    let load = |name: &str| Config::load(&dir.join(name)).unwrap_or_else(|error| panic!("{error}"));
    let (root, middle, leaf) = (load("root.toml"), load("middle.toml"), load("leaf.toml"));
    assert_eq!(root.certificate_life, CERTIFICATE_LIFE);
    assert!(root.parent.is_none() && root.metrics.is_some() && root.advertise.is_some());
    assert!(middle.parent.is_some() && middle.advertise.is_some());
    assert!(leaf.parent.is_some() && leaf.metrics.is_none() && leaf.listen.host() == "127.0.0.1");
}

#[test]
fn a_database_on_a_server_is_named_without_its_password() {
    let node = "[node]\nunit = \"VN\"\nlisten = \"0.0.0.0:7443\"\n";
    for (store, part) in [
        ("address = \"postgres://danso:secret@localhost/danso\"", "store.address: the password does not belong"),
        (
            "address = \"mysql://danso@localhost/danso\"",
            "store.address: an address of a database begins with postgres://",
        ),
        ("address = \"postgres://danso@db.example.vn/danso\"", "sslmode=verify-full"),
        ("password_file = \"secret\"", "store.password_file: is for store.address, which is missing"),
    ] {
        let error = parse(&format!("{node}[store]\n{store}\n")).expect_err(store).to_string();
        assert!(error.contains(part) && !error.contains(":secret@"), "{error}");
    }
    let text = format!(
        "{node}[store]\naddress = \"postgres://danso@db1,db2/danso?sslmode=verify-full\"\npassword_file = \"secret\"\n"
    );
    let config = parse(&text).expect("good");
    let server = config.server.clone().expect("a server");
    assert_eq!(server.address.to_string(), "postgres://danso@db1,db2/danso?sslmode=verify-full");
    assert_eq!(server.password_file.as_deref(), Some(Path::new("secret")));
    let dir = tempfile::tempdir().expect("dir");
    let path = dir.path().join("danso.toml");
    config.write(&path).expect("written");
    assert_eq!(Config::load(&path).expect("loaded"), config);
}

#[test]
fn a_directory_serves_one_process() {
    let dir = tempfile::tempdir().expect("dir");
    let path = dir.path().join("node");
    assert!(matches!(Layout::open(&path), Err(LayoutError::Missing(_))));
    let layout = Layout::create(&path).expect("made");
    assert!(layout.keys().is_dir());
    let lock = layout.lock().expect("first");
    let error = Layout::open(&path).expect("open").lock().expect_err("second");
    let me = std::process::id();
    assert!(matches!(error, LayoutError::Busy { process: Some(id), .. } if id == me), "{error}");
    drop(lock);
    layout.lock().expect("after the first ended");
}

#[test]
fn a_directory_too_deep_for_a_socket_is_refused_at_once() {
    let dir = tempfile::tempdir().expect("dir");
    let deep = dir.path().join("x".repeat(100));
    assert!(matches!(Layout::create(&deep), Err(LayoutError::PathTooLong(_))));
    assert!(!deep.exists());
}

#[test]
fn what_was_made_for_a_verb_goes_again_and_nothing_else() {
    let dir = tempfile::tempdir().expect("directory");
    let path = dir.path().join("a/b/node");
    let made = |path: &std::path::Path| {
        let missing = Layout::missing(path);
        let layout = Layout::create(path).expect("made");
        let lock = layout.lock().expect("locked");
        (Fresh::of(&layout, missing), layout, lock)
    };
    let (fresh, layout, _lock) = made(&path);
    std::fs::write(layout.log_key(), "a key").expect("written");
    fresh.expect("nothing was there").remove();
    assert!(dir.path().exists() && !dir.path().join("a").exists());
    // What was there stays, the directory itself too.
    std::fs::create_dir_all(&path).expect("made");
    let (fresh, ..) = made(&path);
    fresh.expect("nothing was there").remove();
    assert!(std::fs::read_dir(&path).expect("there").next().is_none());
    std::fs::write(path.join("a"), "file").expect("written");
    assert!(made(&path).0.is_none());
    std::fs::remove_file(path.join("a")).expect("removed");
    std::fs::write(path.join("keys/log.pem"), "a key").expect("written");
    assert!(made(&path).0.is_none());
}
