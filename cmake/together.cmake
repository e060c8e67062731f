# With KELES_UNITY the tests of a layer are one program, so that they are compiled several sources at a
# time as well, and linked once: most have a source or two, and what they include costs more than they.
# Each keeps its name, which is a link to the program (together_main.cc.in), and runs in a process of its own.

# keles_test_together(NAME PATH SOURCES DEPS): adds them to their layer's, as PATH.
function(keles_test_together name path sources deps)
  cmake_path(RELATIVE_PATH CMAKE_CURRENT_SOURCE_DIR BASE_DIRECTORY ${CMAKE_SOURCE_DIR} OUTPUT_VARIABLE folder)
  string(REGEX REPLACE "^(src/)?([^/]+).*" "\\2_tests" program ${folder})
  set(main ${CMAKE_BINARY_DIR}/generated/${program}.cc)
  if(NOT TARGET ${program})
    file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/generated)
    if(NOT EXISTS ${main})
      file(TOUCH ${main})  # written when all are known
    endif()
    add_executable(${program} ${main})
    set_target_properties(${program} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
    target_link_libraries(${program} PRIVATE GTest::gtest GTest::gmock)
    target_compile_options(${program} PRIVATE ${KELES_TEST_OPTIONS})
    keles_precompiled(${program} precompiled_test)
    set_property(GLOBAL APPEND PROPERTY KELES_TOGETHER ${program})
  endif()
  set(rows "")
  foreach(source ${sources})
    cmake_path(ABSOLUTE_PATH source BASE_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR} OUTPUT_VARIABLE path_of)
    target_sources(${program} PRIVATE ${path_of})
    string(APPEND rows "    {\"${name}\", \"${folder}/${source}\"},\n")
  endforeach()
  target_link_libraries(${program} PRIVATE ${deps})
  set_property(GLOBAL APPEND_STRING PROPERTY KELES_NAMES_OF_${program} "${rows}")
  set_property(GLOBAL APPEND_STRING PROPERTY KELES_TEST_LINES
    "${name}\tEXECUTABLE\t${CMAKE_CURRENT_SOURCE_DIR}\t${sources}\t${deps}\n")
  file(CREATE_LINK ${CMAKE_BINARY_DIR}/tests/${program} ${path} SYMBOLIC)
  add_custom_target(${name} DEPENDS ${program})
endfunction()

# Tells each program which of its sources are whose.
function(keles_test_names)
  get_property(programs GLOBAL PROPERTY KELES_TOGETHER)
  foreach(program ${programs})
    get_property(KELES_TEST_ROWS GLOBAL PROPERTY KELES_NAMES_OF_${program})
    configure_file(${CMAKE_SOURCE_DIR}/cmake/together_main.cc.in ${CMAKE_BINARY_DIR}/generated/${program}.cc @ONLY)
  endforeach()
endfunction()
