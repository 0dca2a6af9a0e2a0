/* cmocka wants these headers before its own. */
#ifndef HEARTH_TESTS_CMOCKA_PRELUDE_H
#define HEARTH_TESTS_CMOCKA_PRELUDE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#endif
