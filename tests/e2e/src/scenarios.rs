//! What is tried, and in which shapes.

mod apps;
mod buildpacks;
mod builds;
mod cli;
mod crashes;
mod installed;
mod operator;
mod pushes;
mod refusals;
mod releases;
mod tenancy;
mod watching;

use crate::{Setup, Shape, runner::Scenario};

const EVERY: &[Shape] =
    &[Shape::Embedded, Shape::Services, Shape::PomegranateOutside, Shape::Compose, Shape::Traefik];
const MOST: &[Shape] = &[Shape::Embedded, Shape::Services, Shape::Compose, Shape::Traefik];
/// Where the programs are processes, whose disk and engine can be taken away.
const PROCESSES: &[Shape] = &[Shape::Embedded, Shape::Services];
/// Each service a process.
const SEPARATE: &[Shape] = &[Shape::Services];
/// Under docker-compose.
const INSTALLED: &[Shape] = &[Shape::Compose, Shape::Traefik];
const EMBEDDED: &[Shape] = &[Shape::Embedded];
const SERVICES: &[Shape] = &[Shape::Services, Shape::Compose, Shape::Traefik];
const OUTSIDE: &[Shape] = &[Shape::PomegranateOutside];

/// Any installation will do.
const SHARED: Option<Setup> = None;
/// An installation to harm.
const OWN: Option<Setup> = Some(Setup::PLAIN);
const ON_A_SMALL_DISK: Option<Setup> = Some(Setup { disk_mib: 96, min_free_mib: 32, ..Setup::PLAIN });
const WITH_A_SMALL_DATABASE: Option<Setup> = Some(Setup { disk_mib: 256, ..Setup::PLAIN });
const WITH_ROOM: Option<Setup> = Some(Setup { roomy: true, ..Setup::PLAIN });
const WITHOUT_ENGINE: Option<Setup> = Some(Setup { dead_engine: true, ..Setup::PLAIN });
const AN_HOUR_AHEAD: Option<Setup> = Some(Setup { api_hours_off: 1, ..Setup::PLAIN });
const AN_HOUR_BEHIND: Option<Setup> = Some(Setup { api_hours_off: -1, ..Setup::PLAIN });
const TRACED: Option<Setup> = Some(Setup { traced: true, ..Setup::PLAIN });
const OF_THE_COMMIT_BEFORE: Option<Setup> = Some(Setup { previous: true, ..Setup::PLAIN });
const BEHIND_THE_FIREWALL: Option<Setup> = Some(Setup { firewall: true, ..Setup::PLAIN });

macro_rules! scenarios {
    ($($shapes:ident, $own:ident, $module:ident: [$($name:ident),+ $(,)?];)+) => {
        vec![$($(Scenario {
            name: concat!(stringify!($module), "::", stringify!($name)),
            run: |platform| Box::pin(async move { $module::$name(&platform).await }),
            shapes: $shapes,
            own: $own,
        }),+),+]
    };
}

/// Every scenario.
#[expect(clippy::too_many_lines, reason = "one list of all there is")]
pub(crate) fn all() -> Vec<Scenario> {
    scenarios! {
        EVERY, SHARED, pushes: [
            a_push_becomes_a_url,
            curl_fetches_an_app_as_the_readme_says,
            a_second_push_moves_traffic_and_no_request_fails,
        ];
        MOST, SHARED, pushes: [
            the_sample_is_served_from_the_base_image,
            another_branch_is_stored_and_says_so,
            a_force_push_deploys,
            tags_are_stored,
            the_deploy_branch_cannot_be_deleted,
            of_two_pushes_at_once_one_waits_and_is_refused,
            an_unborn_project_can_be_cloned,
            a_shallow_clone_can_push,
            without_auto_deploy_a_push_waits_for_its_deployment,
            a_client_lost_before_the_refs_moved_changes_nothing,
            ctrl_c_ends_a_build_by_buildpacks,
            a_client_lost_after_the_refs_moved_does_not_stop_the_deployment,
        ];
        EVERY, SHARED, builds: [a_build_that_fails_rejects_the_push];
        MOST, SHARED, builds: [
            a_build_that_hangs_is_cancelled_from_the_command_line,
            a_flood_of_lines_is_bounded,
            a_line_without_end_is_cut,
            terminal_escapes_do_not_reach_the_pusher,
            an_image_that_labels_itself_into_routes_is_refused,
        ];
        MOST, WITH_ROOM, buildpacks: [a_static_site, a_flask_app];
        EMBEDDED, WITH_ROOM, buildpacks: [
            a_django_app,
            an_express_app,
            a_site_that_vite_builds,
            a_go_program,
            a_rust_program,
            a_procfile,
            the_sample_service_is_built_both_ways,
        ];
        MOST, SHARED, buildpacks: [
            what_no_buildpack_knows_is_refused_with_the_way_out,
            a_malformed_manifest_is_refused_by_line_and_field,
        ];
        EVERY, SHARED, apps: [an_app_that_never_listens_leaves_the_old_release];
        MOST, SHARED, apps: [
            an_app_on_another_port_leaves_the_old_release,
            an_app_on_loopback_is_told_to_listen_everywhere,
            an_app_that_exits_at_once_shows_its_last_lines,
            an_app_that_eats_its_memory_is_told_so,
        ];
        MOST, SHARED, releases: [
            a_rollback_restores_image_and_configuration,
            setting_a_variable_deploys_it,
            a_secret_reaches_the_app_and_nobody_else,
            a_stopped_app_starts_again,
            a_deleted_project_leaves_nothing,
        ];
        EVERY, SHARED, releases: [deployments_report_status_logs_and_stats];
        MOST, SHARED, refusals: [
            an_unknown_key_is_refused,
            anothers_project_is_as_if_it_were_not_there,
            commands_outside_the_grammar_are_refused,
            there_is_no_shell_no_sftp_and_no_forwarding,
            a_push_over_the_size_limit_is_refused,
            evil_trees_are_refused,
        ];
        MOST, SHARED, tenancy: [apps_reach_neither_each_other_nor_the_engine];
        EMBEDDED, BEHIND_THE_FIREWALL, tenancy: [
            apps_reach_neither_the_host_nor_link_local,
            builds_reach_neither_the_host_nor_link_local_nor_an_app,
        ];
        MOST, SHARED, cli: [a_day_with_the_command_line];
        MOST, SHARED, operator: [root_needs_no_log_in_on_the_host];
        PROCESSES, OWN, operator: [
            a_destroyed_installation_is_restored_and_pushed_to_again,
            an_installation_moves_to_an_engine_without_its_images,
        ];
        EMBEDDED, SHARED, operator: [a_second_daemon_on_the_same_data_is_refused];
        PROCESSES, OWN, watching: [the_metrics_are_those_of_the_page];
        SEPARATE, TRACED, watching: [one_trace_follows_a_push_through_every_service];
        PROCESSES, WITHOUT_ENGINE, operator: [without_an_engine_everything_else_works_and_says_so];
        PROCESSES, ON_A_SMALL_DISK, operator: [
            a_full_disk_refuses_pushes_and_loses_nothing,
            a_disk_that_fills_while_a_pack_comes_refuses_the_push,
            a_disk_that_fills_during_a_build_loses_nothing,
        ];
        INSTALLED, SHARED, installed: [
            each_service_reaches_its_neighbours_alone,
            every_service_is_confined,
            what_serves_no_app_is_told_apart,
            a_value_that_is_missing_is_named,
            twenty_redeployments_lose_no_request,
        ];
        INSTALLED, OF_THE_COMMIT_BEFORE, installed: [an_upgrade_in_the_middle_of_a_push_loses_nothing];
        INSTALLED, OWN, installed: [
            a_moved_installation_is_restored_and_pushed_to_again,
            the_proxy_finds_its_routes_with_nothing_of_ours_alive,
            a_database_that_is_away_for_a_while_loses_nothing,
            a_rotated_database_password_is_taken_up,
            without_the_registry_what_is_here_goes_on,
        ];
        INSTALLED, WITH_A_SMALL_DATABASE, installed: [a_database_with_a_full_disk_refuses_changes_and_loses_nothing];
        INSTALLED, BEHIND_THE_FIREWALL, installed: [tenants_reach_no_service];
        SEPARATE, AN_HOUR_AHEAD, crashes: [an_api_an_hour_ahead_hinders_nobody];
        SEPARATE, AN_HOUR_BEHIND, crashes: [an_api_an_hour_behind_hinders_nobody];
        EVERY, OWN, crashes: [a_restart_keeps_what_there_was];
        EMBEDDED, OWN, crashes: [
            the_daemon_is_killed_in_a_build,
            the_daemon_is_killed_in_a_build_by_buildpacks,
            the_daemon_is_killed_in_a_deployment,
        ];
        SERVICES, OWN, crashes: [
            the_api_is_killed_in_a_build,
            the_api_is_killed_in_a_deployment,
            pomegranate_is_killed_in_a_build,
            pomegranate_is_killed_in_a_build_by_buildpacks,
            pomegranate_is_killed_in_a_deployment,
            the_ssh_server_is_killed_in_a_build,
            the_ssh_server_is_killed_in_a_deployment,
            the_proxy_needs_nobody,
            certificates_expire_and_are_replaced,
        ];
        OUTSIDE, OWN, crashes: [pomegranate_is_killed_in_a_build, pomegranate_is_killed_in_a_deployment];
    }
}
