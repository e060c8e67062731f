# Several sources of a target are compiled as one, which halves what a build from nothing costs: the
# headers are read once for all of them, and so are the templates that all use. Which go together says
# cmake/unity.py, when CMake runs, and joins them, when they are built: each keeps the names of its unnamed
# namespaces to itself. A name added since CMake ran may meet another all the same: run CMake again.
if(NOT KELES_UNITY)
  return()
endif()

set(KELES_UNITY_SCRIPT ${CMAKE_SOURCE_DIR}/cmake/unity.py)
set(KELES_UNITY_FOLDER ${CMAKE_BINARY_DIR}/generated/joined)
file(MAKE_DIRECTORY ${KELES_UNITY_FOLDER})

# Whether a source is compiled with something of its own, and so by itself.
function(keles_is_apart target source out)
  set(${out} OFF PARENT_SCOPE)
  foreach(property COMPILE_DEFINITIONS COMPILE_OPTIONS COMPILE_FLAGS INCLUDE_DIRECTORIES OBJECT_DEPENDS)
    get_source_file_property(value ${source} TARGET_DIRECTORY ${target} ${property})
    if(value)
      set(${out} ON PARENT_SCOPE)
    endif()
  endforeach()
endfunction()

# keles_join(TARGET ROWS): its sources that ROWS names (group, tab, source) are compiled in their groups.
function(keles_join target all)
  set(rows "")
  foreach(row ${all})
    string(REGEX REPLACE "^[^\t]*\t" "" source "${row}")
    keles_is_apart(${target} ${source} apart)
    if(NOT apart)
      list(APPEND rows "${row}")
    endif()
  endforeach()
  if(NOT rows)
    return()
  endif()
  set(units ${KELES_UNITY_FOLDER}/${target}.units)
  list(JOIN rows "\n" text)
  file(CONFIGURE OUTPUT ${units} CONTENT "${text}\n" @ONLY)
  set(sources "")
  set(joined "")
  foreach(row ${rows})
    string(REPLACE "\t" ";" row "${row}")
    list(GET row 0 group)
    list(GET row 1 source)
    list(APPEND sources ${source})
    list(APPEND joined ${KELES_UNITY_FOLDER}/${target}_${group}.cc)
  endforeach()
  list(REMOVE_DUPLICATES joined)
  add_custom_command(OUTPUT ${joined} DEPENDS ${units} ${sources} ${KELES_UNITY_SCRIPT}
    COMMAND ${KELES_PYTHON} ${KELES_UNITY_SCRIPT} --join ${units} ${KELES_UNITY_FOLDER}
    COMMENT "Joining sources of ${target}" VERBATIM)
  add_custom_target(${target}_joined DEPENDS ${joined})
  add_dependencies(${target} ${target}_joined)
  set_source_files_properties(${sources} TARGET_DIRECTORY ${target} PROPERTIES HEADER_FILE_ONLY ON)
  set_source_files_properties(${joined} TARGET_DIRECTORY ${target} PROPERTIES GENERATED ON)
  target_sources(${target} PRIVATE ${joined})
  # GCC looks for types without linkage in what is no main source.
  target_compile_options(${target} PRIVATE -Wno-subobject-linkage)
  # A program's own headers lie beside its sources.
  get_target_property(folder ${target} SOURCE_DIR)
  target_compile_options(${target} PRIVATE "SHELL:-iquote ${folder}")
endfunction()

keles_test_names()
execute_process(COMMAND ${KELES_PYTHON} ${KELES_UNITY_SCRIPT}
  ${CMAKE_BINARY_DIR}/units.txt ${CMAKE_BINARY_DIR}/unity.txt 40 4000 COMMAND_ERROR_IS_FATAL ANY)
file(STRINGS ${CMAKE_BINARY_DIR}/unity.txt lines)
set(targets "")
foreach(line ${lines})
  string(REGEX MATCH "^([^\t]*)\t(.*)$" line "${line}")
  list(APPEND targets ${CMAKE_MATCH_1})
  list(APPEND rows_of_${CMAKE_MATCH_1} "${CMAKE_MATCH_2}")
endforeach()
list(REMOVE_DUPLICATES targets)
foreach(target ${targets})
  keles_join(${target} "${rows_of_${target}}")
endforeach()

# The views that api/ is compiled into keep no name at all; they are made when all is built, and CMake joins them.
get_target_property(views machinery SOURCES)
list(FILTER views INCLUDE REGEX "/generated/.*_views\\.cc$")
set_target_properties(machinery PROPERTIES UNITY_BUILD ON UNITY_BUILD_MODE GROUP)
set_property(SOURCE ${views} TARGET_DIRECTORY machinery PROPERTY UNITY_GROUP views)
