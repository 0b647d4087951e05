use super::*;

fn rule(tests: Vec<Test>, verdict: Verdict) -> FilterRule {
    FilterRule {
        tests,
        verdict: Some(verdict),
    }
}

fn input(name: &str) -> Test {
    Test::In(Pattern {
        name: name.into(),
        prefix: true,
        not: false,
    })
}

fn chain(name: &str, policy: Option<Policy>, rules: Vec<FilterRule>) -> FilterChain {
    FilterChain {
        family: "ip".into(),
        table: "filter".into(),
        name: name.into(),
        base: policy.map(|policy| Base {
            point: HookPoint::Forward,
            policy,
        }),
        rules,
    }
}

fn fate(chains: Vec<FilterChain>) -> Fate {
    let packet = Packet {
        input: "tbv1".into(),
        output: "tbx4096".into(),
        source: "10.244.0.5".parse().unwrap(),
        destination: "10.244.1.5".parse().unwrap(),
    };
    let filter = Filter { chains };
    let fates: Vec<Fate> = filter
        .fates(HookPoint::Forward, &packet)
        .into_iter()
        .map(|(_, fate)| fate)
        .collect();
    assert_eq!(fates.len(), 1);
    fates[0]
}

#[test]
fn the_policy_decides_what_no_rule_does() {
    let others = || vec![rule(vec![input("docker0")], Verdict::Accept)];
    assert_eq!(
        fate(vec![chain("FORWARD", Some(Policy::Drop), others())]),
        Fate::Dropped
    );
    assert_eq!(
        fate(vec![chain("FORWARD", Some(Policy::Accept), others())]),
        Fate::Passes
    );
}

#[test]
fn established_connections_do_not_begin() {
    let state = |mask, not| rule(vec![Test::State(mask, not)], Verdict::Accept);
    assert_eq!(
        fate(vec![chain("F", Some(Policy::Drop), vec![state(6, false)])]),
        Fate::Dropped
    );
    assert_eq!(
        fate(vec![chain("F", Some(Policy::Drop), vec![state(14, false)])]),
        Fate::Passes
    );
    assert_eq!(
        fate(vec![chain("F", Some(Policy::Drop), vec![state(1, true)])]),
        Fate::Passes
    );
}

#[test]
fn chains_are_followed_and_come_back() {
    let base = || {
        chain(
            "F",
            Some(Policy::Drop),
            vec![rule(vec![], Verdict::Jump("USER".into()))],
        )
    };
    let user = |rules| chain("USER", None, rules);
    let accept = rule(vec![input("tb")], Verdict::Accept);
    assert_eq!(fate(vec![base(), user(vec![accept.clone()])]), Fate::Passes);
    assert_eq!(fate(vec![base(), user(vec![])]), Fate::Dropped);
    let back = rule(vec![], Verdict::Return);
    assert_eq!(fate(vec![base(), user(vec![back, accept])]), Fate::Dropped);
    let endless = chain(
        "F",
        Some(Policy::Drop),
        vec![rule(vec![], Verdict::Jump("F".into()))],
    );
    assert_eq!(fate(vec![endless]), Fate::Unclear);
}

#[test]
fn a_rule_that_is_not_understood_makes_it_unclear_only_where_it_could_let_it_pass() {
    let odd = |verdict| vec![rule(vec![Test::Other("set".into())], verdict)];
    assert_eq!(
        fate(vec![chain("F", Some(Policy::Drop), odd(Verdict::Accept))]),
        Fate::Unclear
    );
    assert_eq!(
        fate(vec![chain("F", Some(Policy::Drop), odd(Verdict::Drop))]),
        Fate::Dropped
    );
    assert_eq!(
        fate(vec![chain("F", Some(Policy::Accept), odd(Verdict::Drop))]),
        Fate::Passes
    );
}

#[test]
fn a_drop_at_the_end_is_as_a_policy() {
    let end = rule(vec![], Verdict::Drop);
    assert_eq!(
        fate(vec![chain("F", Some(Policy::Accept), vec![end.clone()])]),
        Fate::Dropped
    );
    let net = "10.244.0.0/16".parse().unwrap();
    let first = rule(vec![Test::Source(net, false)], Verdict::Accept);
    assert_eq!(
        fate(vec![chain("F", Some(Policy::Accept), vec![first, end])]),
        Fate::Passes
    );
}

#[test]
fn tables_of_the_other_family_see_nothing() {
    let packet = Packet {
        input: "tbv1".into(),
        output: "tbx1".into(),
        source: "fd00::1".parse().unwrap(),
        destination: "fd00::2".parse().unwrap(),
    };
    let filter = Filter {
        chains: vec![chain("F", Some(Policy::Drop), vec![])],
    };
    assert_eq!(filter.fates(HookPoint::Forward, &packet).len(), 0);
}
