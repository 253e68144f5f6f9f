"""
The scenarios of the contract, each in a few words of our own, and what serves it beside the tests that bear its name.

A test plays a scenario by its name: `test_s1_…` plays S1, `test_lock4_…` LOCK4. The numbers S and X are the contract's;
the other suites are numbered here, in the contract's order.
"""

from __future__ import annotations

from typing import NamedTuple


class Scenario(NamedTuple):
    """
    One scenario. `others` are tests of other names that serve it; `expected` is the file that brings its test, for as
    long as that file is not there; `without` says why there is no test.
    """

    id: str
    about: str
    others: tuple[str, ...] = ()
    expected: str = ""
    without: str = ""


_LIFE = "tests/test_scenarios_life.py"
_RETRY = "tests/test_scenarios_retry.py"
_DEPENDENCIES = "tests/test_scenarios_dependencies.py"
_EXCLUSIVE = "tests/test_scenarios_exclusive.py"
_EVERYWHERE = "tests/test_everywhere.py"
_BINDING = "tests/test_service_binding.py"

SCENARIOS = (
    Scenario("S1", "a plain task runs and completes"),
    Scenario("S2", "fixed rate, runs longer than the period", expected=_LIFE),
    Scenario("S3", "fixed delay", expected=_LIFE),
    Scenario("S4", "states, step and checkpoint of a run"),
    Scenario("S5", "a memory task", expected=_LIFE),
    Scenario("S6", "a dependent runs after its dependencies", expected=_DEPENDENCIES),
    Scenario("S7", "two executor nodes and one that is none", expected=_EVERYWHERE),
    Scenario("S8", "the run of a dead owner is resumed"),
    Scenario("S9", "a long exclusive run is dispatched once", expected=_EXCLUSIVE),
    Scenario("S10", "metrics and history", expected=_LIFE),
    Scenario("S11", "wrong definitions"),
    Scenario("S12", "a one-shot is retried", expected=_RETRY),
    Scenario("S13", "a recurring task is retried", expected=_RETRY),
    Scenario("S14", "manual retry", expected=_RETRY),
    Scenario("S15", "purge", expected=_LIFE),
    Scenario("S16", "the builder", expected=_LIFE),
    Scenario("S17", "the lock of a run is seen, and so is its removal"),
    Scenario("S18", "cancel while running", expected=_LIFE),
    Scenario("S19", "cancel of what has completed", expected=_LIFE),
    Scenario("S20", "queries by status and type, pages"),
    Scenario("S21", "a survivor takes over"),
    Scenario("S22", "exclusive runs of two nodes never overlap", expected=_EXCLUSIVE),
    Scenario("S23", "a node that joins takes its part"),
    Scenario("S24", "a living owner keeps its run"),
    Scenario("S25", "a hand-made task runs among locked ones"),
    Scenario("S26", "no store is bound", expected=_BINDING),
    Scenario("S27", "a store comes late and goes", expected=_BINDING),
    Scenario("S28", "stores are bound and unbound by three threads", expected=_BINDING),
    Scenario("S29", "a system task is used again"),
    Scenario("S30", "a recurring task goes on after a restart"),
    Scenario("S31", "a system task keeps its parameters over a restart"),
    Scenario("S32", "the purge task is used again after a restart"),
    Scenario("S33", "a dedicated executor over a restart"),
    Scenario("S34", "a stop marks what runs as crashed", expected=_LIFE),
    Scenario("S35", "a stop with a body that does not return", expected=_LIFE),
    Scenario("X1", "a stale write is refused", ("test_a_replacement_needs_the_present_version",)),
    Scenario("X2", "two executors, one held one-shot", expected=_EXCLUSIVE),
    Scenario("X3", "the owner's lease is longer than the observer's"),
    Scenario("X4", "the owner's lease is shorter than the finder's"),
    Scenario("X5", "the share of a node that is dead and listed"),
    Scenario("X6", "a node dies in a retry"),
    Scenario("X7", "a checkpoint, a crash, a resumption", ("test_another_node_resumes_what_a_killed_one_left",)),
    Scenario("X8", "a run stalls beyond its lease"),
    Scenario("X9", "each period has its own retries"),
    Scenario("X10", "a dependent of dependencies on two nodes", expected=_DEPENDENCIES),
    Scenario("X11", "circles of dependencies", expected=_DEPENDENCIES),
    Scenario("X12", "what is read is a copy", ("test_what_is_handed_out_is_a_copy",)),
    Scenario("X13", "two survivors recover at once"),
    Scenario("X14", "every node runs each period", expected=_EVERYWHERE),
    Scenario("X15", "a run is taken from its owner"),
    Scenario("X16", "two nodes poll while a task is held"),
    Scenario("X17", "a stop races with a recovery"),
    Scenario(
        "REG1",
        "register, look up, replace, forget, clear, read-only views, wrong executors",
        (
            "test_the_executors_are_what_was_registered", "test_an_unknown_type_has_no_body",
            "test_a_type_must_be_a_text_that_is_not_blank", "test_none_is_no_executor",
            "test_the_last_executor_of_a_type_counts", "test_unregister_forgets_the_executor",
            "test_unregister_leaves_a_successor_of_the_same_type", "test_unregister_none_is_ignored",
            "test_the_views_cannot_be_changed", "test_clear_forgets_everything",
        ),
    ),
    Scenario("REG2", "no executor here: another node takes it", ("test_unregistering_does_not_stop_what_runs",)),
    Scenario(
        "REST1",
        "list, by status, by type, by id",
        ("test_a_page_has_the_tasks_and_the_true_total", "test_a_task_is_its_document"),
    ),
    Scenario("REST2", "an unknown id", ("test_an_unknown_task_is_not_found",)),
    Scenario("REST3", "DELETE cancels", ("test_delete_cancels_and_keeps_the_record",)),
    Scenario("REST4", "retry of what failed, with reset", ("test_a_failed_task_is_retried",)),
    Scenario(
        "REST5",
        "limits of retries by PUT …/config",
        ("test_the_mission_s_configuration", "test_numbers_of_a_configuration_have_bounds"),
    ),
    Scenario(
        "SHELL1",
        "list: the heading, or no tasks; the count",
        ("test_list_shows_the_table", "test_the_list_is_the_promised_table",
         "test_the_empty_list_is_a_heading_and_a_sentence"),
    ),
    Scenario("SHELL2", "show of an unknown id", ("test_an_id_that_fits_none_or_several_is_refused",)),
    Scenario("SHELL3", "list: status, type, limit", ("test_list_filters", "test_the_summary_names_the_filters")),
    Scenario("SHELL4", "purge --force prints the count", ("test_purge_removes_what_is_old_enough",)),
    Scenario(
        "LOCK1",
        "nothing is locked without a task",
        without="there is no lock to ask for: a claim is made of a document that was read",
    ),
    Scenario(
        "LOCK2",
        "a parallel task is claimed too (P2): no marker without a write",
        ("test_x16_two_nodes_that_poll_run_a_held_task_once",),
    ),
    Scenario("LOCK3", "memory tasks are tracked by their process", ("test_a_memory_run_may_outlast_every_lease",)),
    Scenario("LOCK4", "eight nodes race for one task", ("test_eight_threads_race_for_one_claim",)),
    Scenario("LOCK5", "a lost claim is counted, and nothing is released"),
    Scenario("LOCK6", "what is gone or another's is not claimed"),
    Scenario("LOCK7", "a crashed task is everybody's (P13)"),
    Scenario("LOCK8", "a run that lost its task leaves it alone (P4)", ("test_only_a_running_task_ends",)),
    Scenario("LOCK9", "what a dead node left is freed as it stands (P17)"),
    Scenario("LOCK10", "a living peer's run is not touched (P7)"),
    Scenario("LOCK11", "an end that is not written is not counted"),
    Scenario("LOCK12", "when a foreign lock expires (P9)"),
    Scenario(
        "LOCK13",
        "the lease is stamped by a claim and zeroed by an end",
        ("test_a_claim_names_its_owner", "test_success_resets_the_counters_and_frees_the_task",
         "test_released_names_no_owner"),
    ),
    Scenario("LOCK14", "shares instead of windows (P13)", ("test_a_foreign_share_is_due_a_grace_later",)),
    Scenario("LOCK15", "without its lease a node does nothing (P7)", ("test_without_the_lease_nothing_is_started",)),
    Scenario("RUN1", "disabled, ended or not yet due is not prepared", ("test_other_states_are_not_claimed",)),
    Scenario("RUN2", "waiting and crashed tasks are prepared", ("test_a_claim_consumes_requests_and_waits",)),
    Scenario("RUN3", "a second dispatch is dropped"),
    Scenario(
        "RUN4",
        "a crashed task is resumed, not executed",
        ("test_s8_a_run_of_a_dead_owner_is_recovered", "test_x7_a_crashed_run_is_resumed_from_its_checkpoint"),
    ),
    Scenario("RUN5", "after a cancel there is room for the next"),
    Scenario("RUN6", "failed once, tried again"),
    Scenario("RUN7", "no retries: FAILED"),
    Scenario("RUN8", "a period that used its retries up"),
    Scenario("RUN9", "a failure in a stop"),
    Scenario("RUN10", "a one-shot's success"),
    Scenario("RUN11", "the next period"),
    Scenario("RUN12", "a plain task's success"),
    Scenario("RUN13", "late words of a cancelled run"),
    Scenario("RUN14", "a false crash: the death holds (P8)"),
    Scenario("RUN15", "taken or cancelled: no end", ("test_lock8_a_run_that_lost_its_task_leaves_it_alone",)),
    Scenario(
        "RUN16", "a stop before the start frees the claim", ("test_run17_a_claim_that_is_won_in_a_stop_is_given_back",)
    ),
    Scenario("RUN17", "claimed, then a stop: given back (P10)", ("test_given_back_is_as_before",)),
    Scenario("REC1", "a node that stops recovers nothing"),
    Scenario("REC2", "crashed, free, counted once"),
    Scenario(
        "REC3",
        "what cannot resume is restarted",
        ("test_s8_a_run_of_a_dead_owner_is_recovered", "test_x8_a_run_that_stalls_beyond_its_lease_is_started_again"),
    ),
    Scenario("REC4", "the crash limit instead of the failures (P11)", ("test_crash",)),
    Scenario("REC5", "disabled, no executor, no executor node"),
    Scenario("REC6", "a waiting task waits on"),
    Scenario("REC7", "runs of the living keep their locks", ("test_lock10_a_living_peers_run_is_not_touched",)),
    Scenario("REC8", "a recovery that lost its write"),
    Scenario(
        "STATE1",
        "the table of transitions",
        ("test_every_edge_is_as_the_contract_says", "test_every_request_in_every_state"),
    ),
    Scenario(
        "STATE2",
        "the next execution",
        ("test_the_first_run", "test_a_fixed_rate_keeps_its_phase", "test_a_fixed_rate_is_after_now_and_in_phase",
         "test_a_fixed_delay_counts_from_the_end", "test_retries_are_counted"),
    ),
    Scenario("STATE3", "a missing dependency", ("test_judge",)),
    Scenario("VAL1", "the rules of a definition", ("test_what_is_refused", "test_wrong_dependencies")),
    Scenario("STORE1", "crashed tasks are found as due", ("test_crashed_work_is_due_for_all",)),
    Scenario("STORE2", "what names an owner is found", ("test_owned_tasks_are_found_whatever_their_status",)),
    Scenario(
        "STORE3",
        "a store that fails is told, never taken for empty",
        ("test_a_refusal_is_told", "test_an_unknown_end_is_told", "test_a_store_that_cannot_be_read_fails_its_batch"),
    ),
    Scenario("STORE4", "who is alive: heartbeats that move (P7)"),
    Scenario("STORE5", "no purge on a node that runs nothing", ("test_no_purge_task_where_it_is_not_wanted",)),
    Scenario("HIST1", "twelve failures leave the last ten", ("test_twelve_failures_leave_the_last_ten",)),
)  # fmt: skip
