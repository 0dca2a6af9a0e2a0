"""Tests of the classifier: python3 -m unittest bench/accuracy.d/classify_test.py, or run this file."""
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from classify import EXACT, OUTSIDE, TRUNCATED, WRONG, Stack, Truth, base_name, libc_name, marker_of  # noqa: E402

PARENTS = {"t_0": "main", "t_0_0": "t_0", "t_0_0_0": "t_0_0", "t_0_1": "t_0", "t_1": None, "t_1_0": "t_1", "c_0": None,
           "c_0_0": "c_0", "h_0_3": "t_0_0", "h_2": "t_1_0"}


def judge(frames, cut="", callers=None):
    return Truth(PARENTS, callers).classify(Stack(frames.split(), cut))


class Classify(unittest.TestCase):
    def expect(self, kind, reason, *args, **kwargs):
        verdict = judge(*args, **kwargs)
        self.assertEqual(verdict.kind, kind, verdict)
        self.assertIn(reason, verdict.reason)

    def test_exact(self):
        self.expect(EXACT, "", "t_0_0_0 t_0_0 t_0 main __libc_start_call_main _start")
        self.expect(EXACT, "", "strlen t_0_0 qsort t_0 main")
        self.expect(EXACT, "", "t_0 main")

    def test_exact_without_anything_after_the_root(self):
        self.expect(EXACT, "", "t_1_0 t_1")
        self.expect(EXACT, "", "c_0_0 c_0 __start_context")

    def test_exact_with_rust_and_go_mains(self):
        self.expect(EXACT, "", "prog::t_0 prog::main std::rt::lang_start main _start")
        self.expect(EXACT, "", "main.t_0 main.main runtime.main runtime.goexit.abi0")

    def test_exact_through_a_signal(self):
        self.expect(EXACT, "", "h_0_3 on_tick __restore_rt t_0_0 t_0 main")
        self.expect(EXACT, "", "h_2 on_raise __restore_rt raise t_1_0 t_1 start_thread")

    def test_truncated(self):
        self.expect(TRUNCATED, "ends early", "t_0_0_0 t_0_0")
        self.expect(TRUNCATED, "cut", "t_0_0_0 t_0_0", cut="too deep")
        self.expect(TRUNCATED, "ends early", "t_0_0_0 [unknown]")
        self.expect(TRUNCATED, "ends early", "h_0_3 on_tick")

    def test_marked_as_cut_is_never_exact(self):
        self.expect(TRUNCATED, "reached the root", "t_0 main", cut="too deep")

    def test_truncated_before_the_first_marker(self):
        self.expect(TRUNCATED, "before", "strlen")
        self.expect(TRUNCATED, "before", "strlen _start", cut="too deep")

    def test_skipped(self):
        self.expect(WRONG, "skipped t_0_0", "t_0_0_0 t_0 main")
        self.expect(WRONG, "skipped t_0", "t_0_0_0 t_0_0 main")
        self.expect(WRONG, "skipped t_0_0", "h_0_3 on_tick t_0 main")
        self.expect(WRONG, "skipped t_0_0", "t_0_0_0 main", cut="too deep")

    def test_skipped_marker_behind_libc(self):
        callers = {"strlen": "t_0_0"}
        self.expect(WRONG, "strlen is called by t_0_0", "__strlen_avx2 t_0 main", callers=callers)
        self.expect(EXACT, "", "__strlen_avx2 t_0_0 t_0 main", callers=callers)
        self.expect(EXACT, "", "strlen vfprintf t_0_1 t_0 main", callers=callers)
        self.expect(EXACT, "", "t_0_0_0 strlen t_0_0 t_0 main", callers=callers)

    def test_wrong(self):
        self.expect(WRONG, "foreign t_0_1 for t_0_0", "t_0_0_0 t_0_1 t_0 main")
        self.expect(WRONG, "foreign t_9", "t_9_0 t_0 main")
        self.expect(WRONG, "order", "t_0_0_0 t_0_0 t_0_0_0 t_0_0 t_0 main")
        self.expect(WRONG, "order", "t_0_0 t_0_0 t_0 main")
        self.expect(WRONG, "foreign t_0 below the root", "t_1_0 t_1 t_0 main")
        self.expect(WRONG, "foreign main below the root", "c_0_0 c_0 main")

    def test_outside(self):
        self.expect(OUTSIDE, "", "")
        self.expect(OUTSIDE, "", "clock_gettime main _start")
        self.expect(OUTSIDE, "end of the process", "_exit", cut="stack memory unreadable")
        self.expect(OUTSIDE, "", "do_lookup_x _dl_start")
        self.expect(OUTSIDE, "", "[ld-linux-x86-64.so.2+0x14f38]", cut="too deep")
        self.expect(OUTSIDE, "", "runtime.futex runtime.mcall")
        self.expect(OUTSIDE, "", "runtime.futex runtime.systemstack.abi0", cut="too deep")
        self.expect(TRUNCATED, "before", "runtime.memmove")


class Names(unittest.TestCase):
    def test_markers(self):
        for frame, marker in (
                ("t_0_3", "t_0_3"), ("t_0_3.constprop.0", "t_0_3"), ("t_0_3.cold", "t_0_3"), ("t_0_3(long) [clone .cold]", "t_0_3"),
                ("t_0_3(long)", "t_0_3"), ("long t_0_3<5, std::vector<int> >(long)", "t_0_3"), ("Node7::t_0_3(long) const", "t_0_3"),
                ("(anonymous namespace)::Impl::t_0_3(long)", "t_0_3"), ("t_0_3[abi:cxx11](long)", "t_0_3"), ("_Z5t_0_3l", "t_0_3"),
                ("_ZN4Impl5t_0_3El", "t_0_3"), ("_Z5t_0_3IlLi5EElT_", "t_0_3"),
                ("_ZThn16_N1S5t_0_3El", "t_0_3"), ("non-virtual thunk to S::t_0_3(long)", "t_0_3"), ("_ZL5t_0_3l", "t_0_3"), ("prog::t_0_3::h0123456789abcdef", "t_0_3"), ("prog::t_0_3", "t_0_3"),
                ("_ZN12rust_program5t_0_317h0123456789abcdefE", "t_0_3"), ("_RNvCs1234_4prog5t_0_3", "t_0_3"),
                ("<prog::S3 as prog::T3>::t_0_3", "t_0_3"), ("main.t_0_3", "t_0_3"), ("main.(*node).t_0_3", "t_0_3"),
                ("main.t_0_3[...]", "t_0_3"), ("main", "main"), ("main.main", "main"), ("prog::main", "main"), ("h_0_17", "h_0_17")):
            self.assertEqual(marker_of(frame), marker, frame)

    def test_no_markers(self):
        for frame in ("t_0_3(long)::{lambda(long)#1}::operator()(long) const", "prog::t_0_3::{{closure}}", "prog::t_0_3::{closure#0}",
                      "main.t_0_3.func1", "main.t_0_3.deferwrap1", "main.t_0_3.gowrap2", "runtime.main", "part_0_3", "t_0_3x", "set_0",
                      "void std::__introsort_loop<long*, long, t_0_3(long)::{lambda(long, long)#1}>(long*, long*)",
                      "std::_Function_handler<long (long), t_0_3(long)::{lambda(long)#1}>::_M_invoke(std::_Any_data const&, long&&)",
                      "_ZZ5t_0_3lENKUllE_clEl", "_ZNSt17_Function_handlerIFllEZ5t_0_1lEUllE_E9_M_invokeERKSt9_Any_dataOl",
                      "_ZN4prog5t_0_328_$u7b$$u7b$closure$u7d$$u7d$17h0123456789abcdefE", "_RNCNvCs1234_4prog5t_0_30B3_",
                      "[unknown]", "[libc.so.6+0x1234]"):
            self.assertIsNone(marker_of(frame), (frame, base_name(frame)))

    def test_libc_names(self):
        for frame, name in (("__strlen_avx2", "strlen"), ("__memmove_avx_unaligned_erms", "memcpy"), ("__GI_getppid", "getppid"),
                            ("getppid@plt", "getppid"), ("qsort", "qsort"), ("__GI___snprintf", "snprintf"), ("__strlen_evex", "strlen")):
            self.assertEqual(libc_name(frame), name)


if __name__ == "__main__":
    unittest.main()
