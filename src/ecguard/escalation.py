"""What to do with a flagged trace: accept, measure more, or refit with the film in the model.

The policy's thresholds are chosen on design electrodes by what time and failures cost, and judged
on test electrodes, half of them clean and half fouled at all severities.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from ecguard.fouling import Fouling
from ecguard.guardrail.policy import Outcome, Policy, Traces
from ecguard.intervals import Interval, auroc_interval, difference_interval, share
from ecguard.posterior.unknowns import names
from ecguard.protocol import DEFAULT, Protocol
from ecguard.protocol.trial import Trial
from ecguard.protocol_design import Job, ProtocolDesign, jobs_of
from ecguard.stress import Biofouling

FAILURES_S = (60.0, 600.0, 6000.0)
"""What a wrong posterior that is kept may cost, in seconds of measurement."""
FAILURE_S = 600.0
ASSUMED = Fouling().k0_theta_coeff
OTHER_COEFFICIENTS = (1.4, 2.4, 3.2, 4.2)
"""True fall of ln k0 at full coverage, where the refit takes `ASSUMED`."""
LN_K0 = names(1).index("ln k0")


@dataclass(frozen=True)
class Escalation:
    """Refits, evidence and the policy.

    Attributes:
        design: the study of protocols.
        protocol: the designed one, cleaning, and its last step once more.
        refit: under the model with a film, by job: design, faulty, test, fouled, tested.
        evidence: the designed protocol under that model: test, fouled and tested.
        mistaken: refits of fouled electrodes whose film slows otherwise than assumed.
        policies: fitted on the design set, by what a failure costs, s.
    """

    design: ProtocolDesign = field(repr=False)
    protocol: Protocol
    refit: dict[str, Trial] = field(repr=False)
    evidence: dict[str, Trial] = field(repr=False)
    mistaken: dict[float, Trial] = field(repr=False)
    policies: dict[float, Policy]

    def truth(self, trial: Trial) -> NDArray[np.float64]:
        """Unknowns of the clean electrodes below the film [n, 9]."""
        return self.design.bench.whole.group.unknowns[trial.case].astype(np.float64)

    def error(self, trial: Trial) -> NDArray[np.float64]:
        """Posterior mean less truth of ln k0, test set [n]."""
        return np.asarray(trial.mean[:, LN_K0] - self.truth(trial)[:, LN_K0])

    def coverage(self, trial: Trial) -> NDArray[np.bool_]:
        """Whether the central 95 % intervals hold the truth of each unknown, test set [n, 9]."""
        truth = self.truth(trial)
        d = truth.shape[1]
        return (truth >= trial.low[:, :d]) & (truth <= trial.high[:, :d])

    def log_bayes_factor(self, job: str) -> NDArray[np.float64]:
        """ln evidence of the model with a film over the clean one's, designed protocol [n]."""
        tried = self.design.designed_trial
        clean = {"test": tried.clean["test"], "fouled": tried.fouled, "tested": tried.tested}[job]
        return np.asarray(self.evidence[job].log_evidence - clean.log_evidence)

    def auroc(self) -> Interval:
        """Evidence of test electrodes at severity 1 against the same electrodes clean."""
        fouled, clean = self.log_bayes_factor("fouled"), self.log_bayes_factor("test")
        return auroc_interval(fouled, clean, paired=True)

    def traces(self, of: str) -> Traces:
        """What each action would find: clean electrodes of a set, then its fouled ones."""
        rows = [
            (tried.clean[of], tried.faulty if of == "design" else tried.tested)
            for tried in (self.design.default_trial, self.design.designed_trial)
        ]
        refit = (self.refit[of], self.refit["faulty" if of == "design" else "tested"])
        scores = [
            np.concatenate([tried.score(part.diagnostics) for part in parts])
            for tried, parts in zip(
                (self.design.default_trial, self.design.designed_trial), rows, strict=True
            )
        ]
        wrong = [np.concatenate([part.wrong for part in parts]) for parts in (*rows, refit)]
        case = np.concatenate([part.case for part in refit])
        first = self.design.bench.whole.experiment.waveform
        lasting = [
            own.cost_s(first)[case]
            for own in (DEFAULT, self.design.designed_trial.protocol, self.protocol)
        ]
        return Traces(
            first_score=scores[0],
            second_score=scores[1],
            wrong=np.stack(wrong, axis=1),
            seconds=np.stack([own - lasting[0] for own in lasting], axis=1),
        )

    def weight(self, of: str) -> NDArray[np.float64]:
        """Of each of `traces`: clean and fouled electrodes count as half each; the sum is 1."""
        sizes = [len(self.refit[of]), len(self.refit["faulty" if of == "design" else "tested"])]
        return np.repeat([0.5 / size for size in sizes], sizes)

    def outcomes(self, failure_s: float = FAILURE_S) -> dict[str, Outcome]:
        """What comes of the test electrodes under the policy and under the two that never look."""
        traces = self.traces("test")
        policies = {
            "always trust": Policy.always_trust(),
            "policy": self.policies[failure_s],
            "always escalate": Policy.always_escalate(),
        }
        return {name: policy.apply(traces) for name, policy in policies.items()}

    def risk_difference(self, failure_s: float = FAILURE_S) -> Interval:
        """Share of undetected failures under the policy less that of always trusting."""
        found = self.outcomes(failure_s)
        weight = self.weight("test")
        scale = len(weight) * weight
        return difference_interval(
            scale * found["policy"].failed, scale * found["always trust"].failed
        )


def share_wrong(trial: Trial) -> Interval:
    """Share of the electrodes whose true couple lies outside the joint 95 % region."""
    return share(int(trial.wrong.sum()), len(trial))


def run_escalation(design: ProtocolDesign) -> Escalation:
    """Refit electrodes of the design and test sets under a model that knows of films.

    Args:
        design: the study of protocols, whose folder and settings hold here too.
    """
    bench = design.bench
    chosen = design.designed_trial.protocol
    protocol = chosen.cleaned()
    jobs = {job.name: job for job in jobs_of(design.settings)}
    few = np.arange(min(100, design.settings.sets.n_test))
    mistaken = {}
    with tqdm(total=2 + len(OTHER_COEFFICIENTS), unit="trial") as bar:
        known = ("design", "faulty", "test", "fouled", "tested")
        refit = bench.trials(protocol, [jobs[name] for name in known], fouled=True)
        bar.update()
        evidence = bench.trials(chosen, [jobs[name] for name in known[2:]], fouled=True)
        bar.update()
        for coefficient in OTHER_COEFFICIENTS:
            film = Fouling(initial_theta=Biofouling.full, k0_theta_coeff=coefficient)
            job = Job(f"film-{coefficient:g}", "test", few, 1.0)
            found = bench.trials(protocol, [job], fouled=True, mode=Biofouling(film=film))
            mistaken[coefficient] = found[job.name]
            bar.update()
    result = Escalation(design, protocol, refit, evidence, mistaken, {})
    traces, weight = result.traces("design"), result.weight("design")
    result.policies.update({own: Policy.fit(traces, own, weight) for own in FAILURES_S})
    return result
