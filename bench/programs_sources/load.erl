-module(load).
-export([main/0]).
fill(_, 0, Tree) -> Tree;
fill(Seed, N, Tree) ->
    Next = (Seed * 1664525 + 1013904223) band 16#ffffffff,
    fill(Next, N - 1, gb_trees:enter(integer_to_list(Next, 16), N, Tree)).
work(Seed) ->
    Tree = fill(Seed, 30000, gb_trees:empty()),
    length(lists:keysort(2, gb_trees:to_list(Tree))).
main() ->
    Me = self(),
    Rounds = lists:seq(1, 72),
    [spawn(fun() -> Me ! work(Seed) end) || Seed <- Rounds],
    io:format("~p~n", [lists:sum([receive N -> N end || _ <- Rounds])]),
    halt().
