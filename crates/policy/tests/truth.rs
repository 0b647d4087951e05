//! Truth tables, by the evaluator and by an implementation that knows only the specifications.

#[path = "support/asking.rs"]
mod asking;
#[path = "support/naive/mod.rs"]
mod naive;
#[path = "support/truth.rs"]
mod truth;

use tombolo_model::Family;
use tombolo_policy::Evaluator;

#[test]
fn the_evaluator_knows_every_table() {
    let tables = truth::tables(env!("CARGO_MANIFEST_DIR"));
    let mut report = String::new();
    let mut cells = 0;
    for table in &tables {
        let world = table.world();
        let evaluator = Evaluator::new(&world);
        for family in Family::ALL.into_iter().take(1 + usize::from(table.ipv6)) {
            cells += table.flows().len();
            report += &table.differences(|from, to, probe| {
                let party = |name| asking::party(name, &table.others);
                let flow = asking::flow(party(from), party(to), probe, family);
                let allowed = evaluator.allows(&flow);
                assert_eq!(allowed, evaluator.verdict(&flow).allowed, "{flow}");
                allowed
            });
        }
    }
    assert!(report.is_empty(), "{report}");
    eprintln!("{} tables, {cells} flows", tables.len());
}

#[test]
fn the_specifications_words_know_every_table() {
    let mut report = String::new();
    for table in &truth::tables(env!("CARGO_MANIFEST_DIR")) {
        let naive = naive::of_table(table);
        for ipv6 in [false, true].into_iter().take(1 + usize::from(table.ipv6)) {
            report += &table
                .differences(|from, to, probe| naive.table_flow(table, (from, to), probe, ipv6));
        }
    }
    assert!(report.is_empty(), "{report}");
}
