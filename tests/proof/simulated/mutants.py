"""The protocol, broken on purpose, one rule at a time: the search (`hunt`) must find a promise broken by each.

A mutant is a change of the text of the package. A change that does not fit the text any more is an error, and so is a
mutant that survives: then the rule needs a better search, or nobody needs the rule.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """`rule`: what is broken. `changes`: (file, old text, new text). `settings`: where it is looked for, in order;
    "seeds" are random schedules in virtual time."""

    rule: str
    changes: tuple[tuple[str, str, str], ...]
    settings: tuple[str, ...]


def _one(rule: str, file: str, old: str, new: str, *settings: str) -> Mutant:
    return Mutant(rule, ((file, old, new),), settings)


_DECLARE = "        declare_over(me, slot, attempt, verdict)\n    return verdict.sight"

MUTANTS = [
    _one(
        "no look again under the claim", "claims/claim.py",
        "        final = me.disk.look(claim.final)\n", "        final = None\n", "crash",
    ),
    _one(
        "rename instead of link", "claims/publish.py",
        "me.disk.link(staging, final)", "me.disk.rename(staging, final)", "false suspicion",
    ),
    _one(
        "a stale claim is taken over by unlinking it", "claims/claim.py", _DECLARE,
        "        me.disk.unlink(slot.claim(attempt))\n    return verdict.sight", "three, crash",
    ),
    _one(
        "a stale claim is renamed aside, verified and put back", "claims/claim.py", _DECLARE,
        """        from multiprocesstools.claims.record import decode

        aside = me.private(slot.directory)
        try:
            me.disk.rename(slot.claim(attempt), aside)
        except FileNotFoundError:
            return Sight.VANISHED
        data = me.disk.read(aside)
        if data is not None and verdict.owner is not None and decode(data).id != verdict.owner.id:
            try:
                me.disk.link(aside, slot.claim(attempt))
            except FileExistsError:
                pass
        me.disk.unlink(aside)
    return verdict.sight""",
        "four, crash",
    ),
    _one(
        "drop by unlinking the claim", "claims/instance.py",
        "            self.write_ended(claim.slot, claim.attempt, end, disk)\n",
        """            if end.outcome is Outcome.DROPPED:
                (disk or self.disk).unlink(claim.slot.claim(claim.attempt))
            else:
                self.write_ended(claim.slot, claim.attempt, end, disk)
""",
        "three, drop",
    ),
    Mutant(
        "deaths inferred, not written down",
        (
            (
                "claims/claim.py", _DECLARE,
                """        if attempt >= me.rules.max_attempts:
            return Refusal(Finding(State.FAILED, attempt), verdict)
        return attempt + 1
    return verdict.sight""",
            ),
            (
                "claims/survey.py", "    if is_set_aside(ended, files.last_retry, max_attempts):",
                """    inferred = {k: Ended(Outcome.DIED) for k in files.claims if k not in files.ended and k < highest}
    if is_set_aside({**inferred, **ended}, files.last_retry, max_attempts):""",
            ),
        ),
        ("suspicion, drop and fail",),
    ),
    _one(
        "skip ignored by a look", "claims/survey.py",
        "last.outcome is Outcome.SKIPPED and", "last.outcome is Outcome.FATAL and", "all ways to end",
    ),
    _one(
        "no memory of attempts left", "claims/hands.py",
        """            self._left.setdefault(claim.slot, {})[claim.attempt] = replace(ended, traceback="")
""",
        """            replace(ended, traceback="")
""",
        "repeated listings", "crash", "full disk", "stubborn memory", "all ways to end", "seeds",
    ),
    _one(
        "its own claim is not recognised", "claims/peers.py",
        "        if owner.id == self._mine:\n            return Verdict(Sight.MINE, owner)\n", "", "lost reply",
    ),
    Mutant(
        "claims in another directory than the final",
        (
            (
                "claims/slots.py", 'return f"{self.directory}/.{self.name}.claim-{attempt}"',
                'return f"/run/instances/.{self.name}.claim-{attempt}"',
            ),
            (
                "claims/instance.py", "slots.read_listing(directory, entries, names(inodes))",
                'slots.read_listing(directory, [*disk.list("/run/instances"), *entries], names(inodes))',
            ),
        ),
        ("two on one machine",),
    ),
    _one(
        "patience judged by wall clocks", "claims/peers.py", "        silent = watch.latest - watch.since\n",
        "        beat = owner.beat.seconds if owner and owner.beat else 0\n"
        "        silent = self._clock.wall() - (owner.started + beat) if owner else 0.0\n",
        "seeds",
    ),
    _one(
        "silence counted over the observer's own pause", "claims/peers.py",
        "return now - watch.latest > 2 * self._beat_seconds", "return False", "seeds: suspend all",
    ),
    _one(
        "silence counted while the own beats fail", "claims/peers.py",
        "if now - self._own_beat() <= 2 * self._beat_seconds:", "if True:", "seeds: cut cleanup",
    ),
    _one(
        "an empty record counts as free", "claims/peers.py",
        "            return self._judge_silence(path, data, None)\n",
        "            return self._judge_silence(path, data, None) if data else Verdict(Sight.GONE)\n",
        "copied claims, crash",
    ),
    _one(
        "retry by removing claims", "claims/again.py",
        '        disk.create(slot.retry(attempt), b"")\n',
        """        for number in range(attempt, 0, -1):
            disk.unlink(slot.ended(number))
            disk.unlink(slot.claim(number))
""",
        "retry", "retry, suspicion",
    ),
    _one(
        "the final is looked up before the claim", "claims/claim.py",
        "    number, doubts = 1, 0\n",
        """    number, doubts = 1, 0
    if me.disk.look(slot.final) is not None:
        return Refusal(Finding(State.DONE))
""",
        "stubborn memory",
    ),
    _one(
        "no listing before a second try of one's own", "claims/claim.py",
        "if files is None and (slot.chunk or me.hands.has_tried(slot)):", "if False:", "stubborn memory",
    ),
    _one(
        "one listing is enough to say failed", "claims/assess.py",
        "return finding.state in (State.FAILED, State.SKIPPED) or (", "return (", "three, torn",
    ),
    _one(
        "a gap between two ends is ignored", "claims/slots.py",
        "return any(attempt not in self.ended for", "return False and any(attempt not in self.ended for",
        "torn listings",
    ),
    _one(
        "an ended-file that has gone counts as a failure", "claims/assess.py",
        "return ended_files.decode(data) if data is not None else None",
        'return ended_files.decode(data if data is not None else b"")', "three, repeated",
    ),
    _one(
        "an old listing is believed for ever",
        "claims/claim.py",
        "        me.stir(slot.directory)\n",
        "        pass\n",
        "repeated listings",
        "repeated, suspicion",
    ),
    _one(
        "finals written in place are believed at the first listing", "claims/instance.py",
        "if self.writes_in_place(directory):", "if False:", "in place, torn",
    ),
    _one(
        "no sign while a final is written in place", "claims/direct.py",
        "        _sign(me, claim)\n", "        claim.signed = True\n", "in place",
    ),
    _one(
        "the sign goes before the half-written final", "claims/direct.py",
        """        move_aside(me, claim.slot, claim.attempt, disk)  # no look first: a client may say "missing"
        disk.unlink(claim.slot.sign)
""",
        """        disk.unlink(claim.slot.sign)
        move_aside(me, claim.slot, claim.attempt, disk)
""",
        "in place",
    ),
    _one(
        "a direct owner does not look before it publishes", "claims/direct.py",
        "    if claim.given_up or was_taken_over(_without_final(me, claim, me.disk), claim.attempt):\n",
        "    if claim.given_up:\n", "in place, suspicion",
    ),
    _one(
        "the claim goes before the final comes", "claims/publish.py",
        "    claim.publishing = True\n    for", "    claim.publishing = True\n    me.disk.unlink(claim.path)\n    for",
        "crash",
    ),
    _one(
        "a sweep removes the claims of the dead", "claims/sweep.py",
        "            declare_over(self._me, slot, attempt, verdict)\n",
        "            self._me.disk.unlink(slot.claim(attempt))\n",
        "two workers and a sweep, suspicion",
    ),
    _one(
        "a sweep removes the staging files of the silent", "claims/sweep.py",
        "if self._counts_as_gone(verdict) or (done and verdict.sight is Sight.SILENT):",
        "if self._counts_as_gone(verdict) or verdict.sight is not Sight.MINE:", "sweep",
    ),
    _one(
        "a result is published before it is on the disk", "claims/publish.py",
        "        me.disk.sync(staging)\n", "        me.disk.look(staging)\n", "seeds",
    ),
    _one(
        "an overdue instance starts new work at once", "claims/claim.py",
        "        me.ensure_fresh()\n", "", "tests/claims/test_claim.py",
    ),
    _one(
        "a chunk is let go although not all of its finals are there", "claims/chunk.py",
        "    if done:\n", "    if done or not done:\n", "chunk, all ways to end", "chunk",
    ),
    _one(
        "an item of a free chunk is claimed by itself", "claims/claim.py",
        " and not (slot.chunk and finding.attempt == 0)", "", "chunk, one alone",
    ),
    _one(
        "an item of a chunk is not looked at again under the claim", "claims/chunk.py",
        "    return under_claim(me, claim)\n", "    return me.hands.hold(claim)\n", "chunk, lost reply", "chunk",
    ),
    _one(
        "others say that a chunk is over, beside the ends of its items", "claims/claim.py",
        "    if me.write_ended(slot, attempt, me.ended(outcome, exception=verdict.reason)):",
        "    if me.write_ended(slot.holder(attempt), attempt, me.ended(outcome, exception=verdict.reason)):",
        "chunk, suspicion",
    ),
    _one(
        "a draft is published before it is written", "claims/publish.py",
        "    claim.draft.append(rest)\n", "    me.disk.link(claim.slot.claim(claim.attempt), claim.slot.final)\n",
        "draft",
    ),
]  # fmt: skip
