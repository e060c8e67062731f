# Several sources of a target are compiled as one, which halves what a build from nothing costs: the
# headers are read once for all of them, and so are the templates that all use. Which go together says
# cmake/unity.py, when CMake runs: those that keep no name from each other.
# Off under a compiler launcher (a cache does better with small units) and where nothing is optimised:
# who works on a source wants it alone. A name added since CMake ran may meet another: run CMake again.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_BUILD_TYPE STREQUAL "Release" AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(together ON)
else()
  set(together OFF)
endif()
option(KELES_UNITY "Compile several sources of a target as one" ${together})
if(NOT KELES_UNITY)
  return()
endif()

execute_process(COMMAND ${KELES_PYTHON} ${CMAKE_SOURCE_DIR}/cmake/unity.py
  ${CMAKE_BINARY_DIR}/targets.txt ${CMAKE_BINARY_DIR}/unity.txt 10 3000 COMMAND_ERROR_IS_FATAL ANY)
file(STRINGS ${CMAKE_BINARY_DIR}/unity.txt rows)
foreach(row ${rows})
  string(REPLACE "\t" ";" row "${row}")
  list(GET row 0 target)
  list(GET row 1 group)
  list(GET row 2 source)
  set_property(SOURCE ${source} TARGET_DIRECTORY ${target} PROPERTY UNITY_GROUP "${group}")
  set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_MODE GROUP)
  # GCC looks for types without linkage in what is no main source.
  target_compile_options(${target} PRIVATE -Wno-subobject-linkage)
endforeach()

# The views that api/ is compiled into keep no name at all.
get_target_property(views machinery SOURCES)
list(FILTER views INCLUDE REGEX "/generated/.*_views\\.cc$")
set_property(SOURCE ${views} TARGET_DIRECTORY machinery PROPERTY UNITY_GROUP views)
