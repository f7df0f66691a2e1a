"""What several processes say of layers that are left out is what one of all their systems would say."""

from equiscope.probe.left import NO_ROWS, LeftOut


def test_counts_add_up_and_what_one_had_values_of_is_not_empty():
    one = LeftOut({"a": NO_ROWS, "b": NO_ROWS, "c": "why"}, {"d": [1, 10]}, {"d": [2, 10]}, ["e"], ["d"])
    other = LeftOut({"a": NO_ROWS, "d": NO_ROWS}, {"d": [2, 7], "f": [1, 3]}, {}, ["e", "g"], ["b", "f"])
    for parts in ((one, other), (other, one)):
        found = LeftOut.joined(parts)
        assert found.reasons == {"a": NO_ROWS, "c": "why"} and found.skipped == {"c"}
        assert found.rows == {"d": [3, 17], "f": [1, 3]} and found.padding == {"d": [2, 10]}
        assert set(found.whole) == {"e", "g"} and found.filled == ["b", "d", "f"]
    told = found.notes({"h": "unheard"})
    assert any(text.startswith("layer d: 3 of 17 rows") for text in told)
    assert "layers a were" not in " ".join(told) and "layer c was left out: why" in told
    assert found.masking() == {
        "2 of 10 rows are padding": ["d"],
        "no axis runs over the rows of the mask, all values taken": found.whole,
    }
    # what was joined is left as it was
    assert one.rows == {"d": [1, 10]} and other.rows["d"] == [2, 7]
