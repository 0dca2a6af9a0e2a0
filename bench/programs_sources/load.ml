module M = Map.Make (String)
let rec fill seed n map =
  if n = 0 then map else
    let seed = (seed * 1664525 + 1013904223) land 0xffffffff in
    fill seed (n - 1) (M.add (Printf.sprintf "%08x" seed) n map)
let () =
  for round = 1 to 40 do
    let map = fill round 60000 M.empty in
    let sorted = List.sort compare (M.fold (fun key n acc -> (n, key) :: acc) map []) in
    Printf.printf "%d %d\n" (List.length sorted) (M.cardinal (M.filter (fun _ n -> n mod 3 = 0) map))
  done
