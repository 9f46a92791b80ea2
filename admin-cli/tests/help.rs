//! The words of the command line, held by a file: scripts rely on them. After a wanted change run the test with
//! DANSO_UPDATE_GOLDEN=1 and read the difference before it is committed.

use std::fmt::Write as _;

use clap::CommandFactory as _;

#[test]
fn the_help_is_as_committed() {
    let mut text = String::new();
    let mut root = danso_admin::cli::Cli::command();
    root.build();
    write(&mut root, &mut text);
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/help.txt");
    if std::env::var_os("DANSO_UPDATE_GOLDEN").is_some() {
        std::fs::write(golden, &text).expect("writes");
    }
    assert_eq!(text, std::fs::read_to_string(golden).expect("reads"));
}

fn write(command: &mut clap::Command, text: &mut String) {
    let help = command.render_long_help();
    writeln!(text, "$ {} --help\n{help}", command.get_bin_name().unwrap_or("danso-admin")).expect("text");
    for sub in command.get_subcommands_mut() {
        write(sub, text);
    }
}
