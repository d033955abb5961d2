"""Which block lies in which of two buffers, and which is asked for next: the same on every rank, because each asks in
the same order."""


class Order:
    """Learns the order of a pass, forwards and backwards, while `learning`; follows it afterwards, again and again.

    slots: the block in each buffer, None for nothing. A block that still lies in a buffer is not gathered again."""

    def __init__(self):
        self.slots: list[int | None] = [None, None]
        self.current = 1
        self.learnt: list[int] = []
        self.learning, self.following_it, self.at, self.count = False, False, 0, 0

    def forget(self) -> None:
        self.slots, self.current, self.at = [None, None], 1, 0

    def slot_of(self, number: int) -> int | None:
        return self.slots.index(number) if number in self.slots else None

    def place(self, number: int, users: list[int] | None = None) -> int:
        """The buffer for a block that is to be gathered: the one that is not in use. users: of each block, to be sure.
        """
        slot = 1 - self.current
        if users and self.slots[slot] is not None and users[self.slots[slot]]:
            raise RuntimeError(f"share_base: block {self.slots[slot]} still runs while block {number} is asked for; "
                               "this model's blocks lie in each other, and it cannot be shared.")
        self.slots[slot] = number
        return slot

    def now(self, slot: int) -> None:
        self.current = slot

    def asked(self, number: int) -> None:
        """Raises RuntimeError where a block is asked for out of turn: ranks would no longer gather the same."""
        self.count += 1
        if self.learning:
            self.learnt.append(number)
        if self.following_it:
            if self.learnt[self.at] != number:
                raise RuntimeError(f"share_base: the model ran block {number} where block {self.learnt[self.at]} was "
                                   "next: at another size or noise level it takes another way through its blocks, "
                                   "and cannot be shared.")
            self.at = (self.at + 1) % len(self.learnt)

    def following(self) -> int | None:
        """The block to gather ahead: the next that lies in no buffer, if the buffer that is not in use can take it."""
        if not self.following_it:
            return None
        following = self.learnt[self.at]
        return None if following in self.slots else following
