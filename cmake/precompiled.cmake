# The headers of the language's library are four fifths of what the compiler reads, and the same in
# nearly every source: they are compiled once, and once more with GoogleTest for the tests. Sources name
# what they use all the same (test/lint, `standard`), and build without this.
# Off under a compiler launcher: a cache would take each checkout's copy for something new.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND NOT CMAKE_CXX_COMPILER_LAUNCHER AND NOT KELES_FUZZ)
  set(precompile ON)
else()
  set(precompile OFF)
endif()
option(KELES_PRECOMPILED "Compile the standard headers once for all sources" ${precompile})

set(KELES_STANDARD_HEADERS <algorithm> <array> <atomic> <charconv> <chrono> <coroutine> <cstdint> <cstdlib> <cstring>
  <deque> <functional> <list> <map> <memory> <mutex> <optional> <set> <span> <sstream> <string> <string_view>
  <unordered_map> <utility> <variant> <vector>)

if(KELES_PRECOMPILED)
  file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/precompiled.cc CONTENT "")
  add_library(precompiled OBJECT ${CMAKE_BINARY_DIR}/precompiled.cc)
  target_precompile_headers(precompiled PRIVATE ${KELES_STANDARD_HEADERS})
  add_library(precompiled_test OBJECT ${CMAKE_BINARY_DIR}/precompiled.cc)
  target_link_libraries(precompiled_test PRIVATE GTest::gtest GTest::gmock)
  target_precompile_headers(precompiled_test PRIVATE ${KELES_STANDARD_HEADERS} <filesystem> <gmock/gmock.h> <gtest/gtest.h>)
endif()

# Tests run once for each time that they are compiled: to optimise them less costs them little and saves
# a quarter of their compilation. Coroutines need their tail calls.
set(KELES_TEST_OPTIONS $<$<CONFIG:Release>:-O1 -foptimize-sibling-calls>)
if(KELES_PRECOMPILED)
  target_compile_options(precompiled_test PRIVATE ${KELES_TEST_OPTIONS})
endif()

# keles_precompiled(TARGET [precompiled_test]): TARGET finds the headers compiled.
function(keles_precompiled name)
  if(KELES_PRECOMPILED)
    if(ARGC GREATER 1)
      target_precompile_headers(${name} REUSE_FROM ${ARGV1})
    else()
      target_precompile_headers(${name} REUSE_FROM precompiled)
    endif()
  endif()
endfunction()
