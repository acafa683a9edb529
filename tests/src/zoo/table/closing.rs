//! Clients that close by RST, and ends that leave something unread.

use crate::zoo::{
    packets::View,
    situation::{NO_RST, Situation, Truth},
};

/// All was received, then an abort: nothing is lost.
const AFTER_ALL: Truth =
    Truth::new(View::is_reset_by_client, &["rst_instead_of_fin", "app_abort"], &["client"], &["none"]);
const NO_DATA: Truth = Truth::new(
    View::is_reset_by_client,
    &["abort_no_data", "health_check", "rst_instead_of_fin"],
    &["client"],
    &["none"],
);
const SERVER: &str = "py 'def f(s):
    while header(s): answer(s)
serve(f)'";
const NGINX: &str = "nginx_run";

/// The situations.
pub(super) fn situations() -> Vec<Situation> {
    [aborts(), pushes()].concat()
}

fn aborts() -> Vec<Situation> {
    let new = Situation::new;
    vec![
        new("linger0_after", "a GET, all read, then SO_LINGER 0")
            .server(SERVER)
            .client("py 's = connect(); get(s); sleep(.05); reset(s)'")
            .truth([AFTER_ALL, NO_RST]),
        new("linger0_after_nginx", "the same at once, nginx")
            .server(NGINX)
            .client("py 's = connect(); get(s); reset(s)'")
            .truth([AFTER_ALL, NO_RST])
            .needs(&["nginx"]),
        new("linger0_no_data", "connect, SO_LINGER 0")
            .server(SERVER)
            .client("py 'reset(connect())'")
            .truth([NO_DATA, NO_RST]),
        new("linger0_habit", "eight connections of a server that always ends by RST")
            .server("py 'serve(lambda s: (header(s), answer(s), sleep(.1), reset(s)))'")
            .client("py 'for _ in range(8): s = connect(); get(s); drain(s)'")
            .truth([
                Truth::new(
                    View::is_reset_by_server,
                    &["rst_instead_of_fin", "app_abort"],
                    &["server"],
                    &["none", "response_lost"],
                ),
                NO_RST,
            ])
            .least(8),
    ]
}

fn pushes() -> Vec<Situation> {
    let new = Situation::new;
    vec![
        new("unread_push", "a client ends with a push of the server's unread")
            .server("py 'serve(lambda s: (header(s), answer(s), sleep(.3), s.sendall(b\"news\"), drain(s)))'")
            .client("py 's = connect(); get(s); sleep(.8); s.close()'")
            .truth([
                Truth::new(
                    View::is_reset_by_client,
                    &["app_abort"],
                    &["client"],
                    &["none", "response_lost", "transfer_cut"],
                ),
                NO_RST,
            ]),
        new("push_after_close", "the server pushes 0.3 s after the client has closed, 1.2 s after the answer")
            .server(
                "py 'serve(lambda s: (header(s), answer(s), s.recv(1), sleep(.3), s.sendall(b\"news\"), drain(s)))'",
            )
            .client("py 's = connect(); get(s); sleep(1.2); s.close(); sleep(.6)'")
            .truth([
                Truth::new(
                    View::is_reset_by_client,
                    &["data_after_close"],
                    &["client"],
                    &["none", "response_lost", "transfer_cut"],
                ),
                NO_RST,
            ]),
    ]
}
