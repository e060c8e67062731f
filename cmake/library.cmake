# keles_library(NAME SOURCES... DEPS...): one library a folder. Its headers are seen by their path below
# src/ ("server/auth/auth.h") by itself and by those who link it, and by nobody else: the link line is
# the permission to include. A folder inside that is a library of its own is no part of it.
# What a library links, its users see too; so that nobody lives on the links of others, test/lint holds
# that each target names itself what it includes.
function(keles_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS;PRIVATE_DEPS" ${ARGN})
  set(view ${CMAKE_BINARY_DIR}/include/${name})
  keles_view(${view})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_include_directories(${name} PUBLIC ${view})
  target_link_libraries(${name} PUBLIC ${ARG_DEPS} PRIVATE ${ARG_PRIVATE_DEPS})
  keles_precompiled(${name})
endfunction()

# keles_test(NAME [APART] SOURCES... DEPS...): GoogleTest tests, run by ctest as one. A program of their
# own, or with KELES_UNITY, unless APART, a part of their layer's (cmake/together.cmake); NAME runs them
# either way.
function(keles_test name)
  cmake_parse_arguments(ARG "APART" "TIMEOUT" "SOURCES;DEPS" ${ARGN})
  set(program ${CMAKE_CURRENT_BINARY_DIR}/${name})
  if(KELES_UNITY AND NOT ARG_APART)
    keles_test_together(${name} ${program} "${ARG_SOURCES}" "${ARG_DEPS}")
  else()
    if(IS_SYMLINK ${program})
      file(REMOVE ${program})
    endif()
    add_executable(${name} ${ARG_SOURCES})
    target_link_libraries(${name} PRIVATE ${ARG_DEPS} GTest::gtest GTest::gmock GTest::gtest_main)
    keles_precompiled(${name} precompiled_test)
    target_compile_options(${name} PRIVATE ${KELES_TEST_OPTIONS})
  endif()
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  add_test(NAME ${name} COMMAND ${program} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  set_tests_properties(${name} PROPERTIES TIMEOUT ${ARG_TIMEOUT} LABELS unit)
endfunction()

# keles_view(VIEW): makes VIEW an include directory in which this folder lies under its path.
function(keles_view view)
  cmake_path(RELATIVE_PATH CMAKE_CURRENT_SOURCE_DIR BASE_DIRECTORY ${CMAKE_SOURCE_DIR} OUTPUT_VARIABLE path)
  string(REGEX REPLACE "^src/" "" path ${path})
  file(REMOVE_RECURSE ${view})
  file(GLOB rooms RELATIVE ${CMAKE_CURRENT_SOURCE_DIR} CONFIGURE_DEPENDS */CMakeLists.txt)
  if(NOT rooms)
    cmake_path(GET path PARENT_PATH above)
    file(MAKE_DIRECTORY ${view}/${above})
    file(CREATE_LINK ${CMAKE_CURRENT_SOURCE_DIR} ${view}/${path} SYMBOLIC)
    return()
  endif()
  file(MAKE_DIRECTORY ${view}/${path})
  file(GLOB entries RELATIVE ${CMAKE_CURRENT_SOURCE_DIR} CONFIGURE_DEPENDS *)
  foreach(entry ${entries})
    if(NOT "${entry}/CMakeLists.txt" IN_LIST rooms)
      file(CREATE_LINK ${CMAKE_CURRENT_SOURCE_DIR}/${entry} ${view}/${path}/${entry} SYMBOLIC)
    endif()
  endforeach()
endfunction()
