# Language, warnings, sanitizers, linker.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()

set(KELES_SANITIZE "" CACHE STRING "Sanitizers, as -fsanitize takes them: address,undefined or thread")
if(KELES_SANITIZE)
  add_compile_options(-fsanitize=${KELES_SANITIZE} -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${KELES_SANITIZE})
  if(KELES_SANITIZE MATCHES thread)
    add_compile_options(-Wno-tsan)  # Asio's fences, which TSan does not model
  endif()
endif()

set(CMAKE_CXX_FLAGS_RELEASE "-O2")     # assertions stay on
set(CMAKE_CXX_FLAGS_DEBUG "-Og -g1 -foptimize-sibling-calls")  # coroutines need their tail calls
add_compile_options(-Wall -Wextra -Wno-missing-field-initializers)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  add_compile_options(-Werror)
  # GCC 12 reports false positives of these inside coroutine frames and std::string at -O2.
  add_compile_options(-Wno-restrict -Wno-maybe-uninitialized -Wno-stringop-overflow -Wno-stringop-overread -Wno-array-bounds -Wno-dangling-pointer -Wno-free-nonheap-object -Wno-mismatched-new-delete)
else()  # clang++ for the fuzzers: it must compile, GCC judges
  add_compile_options(-w)
endif()
option(KELES_FUZZ "Build the fuzz targets with libFuzzer and AddressSanitizer (needs clang++)" OFF)
if(KELES_FUZZ)  # every library is instrumented, so that the fuzzer sees its branches
  add_compile_options(-fsanitize=address,fuzzer-no-link -include ${CMAKE_SOURCE_DIR}/fuzz/source_location.h)
  add_link_options(-fsanitize=address)
endif()
add_compile_options(-ffunction-sections -fdata-sections)
add_link_options(-Wl,--gc-sections)

find_program(KELES_MOLD mold)
if(KELES_MOLD)
  add_link_options(-fuse-ld=mold)
endif()

# Several sources compiled as one (unity.cmake), several tests in one program (together.cmake). Off under
# a compiler launcher (a cache does better with small units) and where nothing is optimised: who works on
# a source wants it alone.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_BUILD_TYPE STREQUAL "Release" AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(together ON)
else()
  set(together OFF)
endif()
option(KELES_UNITY "Compile several sources of a target as one, and the tests of a layer into one program" ${together})
