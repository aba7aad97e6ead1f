"""What holds for the state of every sparse-training method: saved, loaded, put off."""

from __future__ import annotations

import copy

from agc.conformance.checks import refused
from agc.conformance.method_problem import (
    OPTIMIZERS,
    STEPS,
    Problem,
    alike,
    network,
    same,
)
from agc.conformance.states import same_state


def a_resumed_run_has_the_same_bits(name: str) -> None:
    """``state_dict`` and ``load_state_dict``, before an update and after one."""
    whole = Problem(name)
    whole.whole()
    for after in (3, 4, STEPS - 1):
        first = Problem(name)
        first.begin()
        for _ in first.steps(0, after):
            pass
        second = Problem(name)
        second.model.load_state_dict(first.model.state_dict())
        second.optimizer.load_state_dict(copy.deepcopy(first.optimizer.state_dict()))
        second.method.load_state_dict(copy.deepcopy(first.method.state_dict()))
        for _ in second.steps(after):
            pass
        second.end()
        assert same(whole.state(), second.state()), f"resumed after {after} steps, bits differ"
        assert whole.method.exploration_rate() == second.method.exploration_rate()
        assert whole.method.dense_gradients == second.method.dense_gradients
        assert whole.method.steps == second.method.steps == STEPS


def the_order_of_loading_does_not_matter(name: str) -> None:
    """Model and optimizer before the method is made, or since, or either: the same bits, at once
    and to the end of the training.
    """
    for optimizer in OPTIMIZERS:
        for after in (0, 5):
            whole = Problem(name, optimizer)
            whole.begin()
            for _ in whole.steps(0, after):
                pass
            parts = whole.model, whole.optimizer, whole.method
            model, slots, method = (copy.deepcopy(part.state_dict()) for part in parts)
            others = [Problem(name, optimizer) for _ in range(2)]
            others += [Problem(name, optimizer, loaded=(model, slots)) for _ in range(2)]
            for late in others[:2]:
                late.model.load_state_dict(model)
                late.optimizer.load_state_dict(copy.deepcopy(slots))
            # And a state of other masks before.
            others[3].method.load_state_dict(Problem(name, optimizer, seed=1).method.state_dict())
            for problem in others:
                problem.method.load_state_dict(method)
            others[1].model.load_state_dict(model)
            for problem in (whole, *others):
                assert same(whole.state(), problem.state()), f"loaded after {after} steps"
            for problem in (whole, *others):
                for _ in problem.steps(after):
                    pass
                problem.end()
                assert same(whole.state(), problem.state()), f"trained on after {after} steps"


def a_step_left_out_for_an_overflow_changes_nothing(name: str) -> None:
    """Where a GradScaler leaves a step out, no mask, weight or memory changes; an update that falls
    on it comes with the next step, after a resume too.
    """
    whole, second = Problem(name), Problem(name)
    whole.begin()
    for _ in whole.steps(0, 3):
        pass
    due = whole.method.update_due(4)
    counted = {"steps", "put_off", "dense_gradients"}
    before = whole.state(), copy.deepcopy(whole.method.state_dict())
    assert not whole.overflow(3), "a step that was left out reported a change"
    assert same(before[0], whole.state()), "a step that was left out changed weights or masks"
    now = whole.method.state_dict()
    for key in before[1].keys() - counted:
        assert alike(before[1][key], now[key]), f"a step that was left out changed {key!r}"
    second.model.load_state_dict(whole.model.state_dict())
    second.optimizer.load_state_dict(copy.deepcopy(whole.optimizer.state_dict()))
    second.method.load_state_dict(copy.deepcopy(whole.method.state_dict()))
    for problem in (whole, second):
        changed = next(iter(problem.steps(4, 5)))
        assert not problem.method.put_off, "the update that was put off is not made"
        assert not (due and hasattr(problem.method, "update_topology")) or changed
        for _ in problem.steps(5):
            pass
        problem.end()
    assert same(whole.state(), second.state()), "resumed after a step left out, bits differ"


def a_state_is_a_copy(name: str) -> None:
    """What is kept in memory does not change when the training goes on, nor when it is loaded."""
    problem = Problem(name)
    problem.begin()
    for _ in problem.steps(0, 5):
        pass
    state = problem.method.state_dict()
    kept = copy.deepcopy(state)
    for _ in range(2):
        for _ in problem.steps(5, 8):
            pass
        assert same_state(state, kept), "the state has changed"
        problem.method.load_state_dict(state)


def a_state_of_something_else_is_refused(name: str) -> None:
    """Of a narrower network or of another sparsity, and nothing is changed by it."""
    problem = Problem(name)
    before = problem.state()
    others = {"has shape": Problem(name, model=network(1))}
    if problem.sparsity:
        others["sparsity"] = Problem(name, sparsity=0.75)
    for words, other in others.items():
        with refused(ValueError, words, f"it was loaded, with another {words.split()[-1]}"):
            problem.method.load_state_dict(other.method.state_dict())
        assert same(problem.state(), before), "it was loaded in part"


def other_parameters_in_the_model_are_noticed(name: str) -> None:
    """A step, or a state to load, says which of those that it masks is not the model's any more."""
    for load in (False, True):
        problem = Problem(name)
        problem.begin()
        next(problem.steps())
        state = problem.method.state_dict()
        problem.model.load_state_dict(copy.deepcopy(problem.model.state_dict()), assign=True)
        with refused(RuntimeError, "parameter '0.", "it goes on with tensors of before"):
            problem.method.load_state_dict(state) if load else next(problem.steps())
