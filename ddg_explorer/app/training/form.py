"""The form of a training job: data, model, training.

A choice fills in the numbers that it implies, where a person has not typed others.
"""

from __future__ import annotations

from typing import Any

import panel as pn

from ddg_explorer.app.grid_controls import devices
from ddg_explorer.app.layout import section
from ddg_explorer.app.training import choices
from ddg_explorer.app.training.fields import FieldManners, Implied, number, pair, required, whole
from ddg_explorer.app.training.source import DataSource
from ddg_explorer.app.training.specification import STEPS, DataSpec, JobSpec
from ddg_explorer.app.widgets import Choice
from ddg_explorer.discrete import ACTIVATIONS
from ddg_explorer.models.recipe import NUMBERS
from ddg_explorer.training.optimizers import FIRST_ORDER


class TrainForm:
    """Widgets of one job; `spec` is what they say."""

    def __init__(self) -> None:
        self.source = DataSource(self._renew)
        self.model = Choice("Model", choices.model_titles(paired=True), lambda _: self._renew())
        names = {name.replace("_", " "): name for name in ACTIVATIONS}
        self.activation = Choice("Activation", names, lambda _: None)
        self.structure = Choice("Structure operator G", {"": ""}, lambda _: None)
        self.hidden = Implied(whole("Width", 16, choices.HIDDEN))
        self.budget = Choice("Budget", choices.BUDGETS, lambda _: self._renew())
        self.optimizer = Choice("Optimiser", choices.OPTIMISERS, lambda _: self._renew())
        self.device = Choice(
            "Device",
            devices(),
            lambda _: self._renew(),
            doc="Where the model is trained: Adam and SOAP on either, Levenberg–Marquardt on the "
            "CPU.",
        )
        self.device.widget.visible = len(self.device.widget.options) > 1
        self.steps = Implied(whole("Steps", 60, STEPS))
        self.seed = whole("Seed", 0, (0, min(NUMBERS["seed"][1], 2**32 - 1)))
        self.schedule = Choice("Schedule", choices.SCHEDULES, lambda _: None)
        self.lr = number("Learning rate", 3e-3, (1e-6, 1.0))
        self._adam = pair(self.schedule.widget, self.lr)
        self.panel = pn.Column(
            section("Data", self.source.panel),
            section(
                "Model",
                self.model.widget,
                self.structure.widget,
                pair(self.activation.widget, self.hidden.widget),
            ),
            section(
                "Training",
                self.budget.widget,
                self.optimizer.widget,
                self.device.widget,
                self._adam,
                pair(self.steps.widget, self.seed),
            ),
            FieldManners(),
            sizing_mode="stretch_width",
        )
        # noise that is typed has a network and a number of steps of its own
        self.source.noise.param.watch(lambda _: self._renew(), "value")
        self._renew()

    def prepare(self, scene: DataSpec | None = None, model: str | None = None) -> None:
        """Fill in a scene and a model; what is not given stays."""
        if model is not None:
            self.model.show(model)
        if scene is not None:
            self.source.take_scene(scene)
        self._renew()

    def follow(self, scene: DataSpec) -> None:
        """Make a scene the current system, which is chosen unless a person chose other data."""
        self.source.follow(scene)

    def spec(self, number: int = 1) -> JobSpec:
        """The job that the form describes, named as run `number`.

        Raises
        ------
        ValueError
            One line for what is missing or cannot be.
        """
        hidden, steps = required(self.hidden.widget), required(self.steps.widget)
        model, optimizer = self.model.value, self._optimizer
        first_order: dict[str, Any] = {}
        if optimizer in FIRST_ORDER:
            first_order = {"schedule": self.schedule.value, "lr": required(self.lr)}
        system = self.source.system
        budget = choices.chosen_budget(
            self.budget.value,
            system,
            model,
            optimizer,
            steps,
            first_order,
            ode=self.source.where == "ode",
            noisy=self.source.noisy and optimizer not in FIRST_ORDER,
        )
        network: dict[str, Any] = {"activation": self.activation.value, "hidden": hidden}
        if self.structure.value not in (choices.NO_STRUCTURE, choices.OWN):
            network["structure"] = {"kind": self.structure.value}
        name = choices.run_name(model, system, number)
        data, seed, device = self.source.spec(), required(self.seed), self.device.value
        return JobSpec(data, model, budget, network, seed, name, device)

    def _offered_model(self) -> str:
        """Offer the models that suit the states; the chosen one, or DGNet where it does not."""
        titles = choices.model_titles(paired=self.source.paired)
        chosen = self.model.value
        self.model.show(chosen if chosen in titles.values() else "dgnet", options=titles)
        return self.model.value

    @property
    def _optimizer(self) -> str:
        """The one chosen; the best that a GPU can run is Adam."""
        chosen = self.optimizer.value
        return "adam" if not chosen and self.device.value != "cpu" else chosen

    def close(self) -> None:
        self.source.close()

    def _renew(self) -> None:
        """Fill in what follows from system, model, budget and optimiser, and was not typed."""
        source, model = self.source, self._offered_model()
        name, system = self.budget.value, source.system
        kinds = choices.structures(
            model, source.where, known=source.has_structure, paired=source.paired
        )
        kept = self.structure.value if self.structure.value in kinds.values() else None
        value = next(iter(kinds.values())) if kept is None else kept
        self.structure.show(value, options=kinds, disabled=len(kinds) == 1)
        source.fill(name)
        optimizer = self._optimizer
        ode, noisy = source.where == "ode", source.noisy and optimizer not in FIRST_ORDER
        found = choices.budget(name, system, model, ode=ode, noisy=noisy)
        self.hidden.imply(found.network.get("hidden", 200))
        steps = choices.default_steps(name, system, model, optimizer, ode=ode, noisy=source.noisy)
        self.steps.imply(steps)
        self._adam.visible = optimizer in FIRST_ORDER
