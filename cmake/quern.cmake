# The few build rules every room uses.

set(CMAKE_CXX_STANDARD 23)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

option(QUERN_WERROR "treat warnings as errors" ON)
option(QUERN_FUZZ "build the libFuzzer targets (clang only)" OFF)
set(QUERN_SANITIZE "" CACHE STRING "comma-separated sanitizers, e.g. address,undefined")
# A protection against tests that hang; nothing is measured with it. ThreadSanitizer makes the reference kernels some
# thirty times slower.
set(QUERN_TEST_TIMEOUT_S 900)
if(QUERN_SANITIZE)
  set(QUERN_TEST_TIMEOUT_S 7200)
endif()

find_program(QUERN_CCACHE ccache)
if(QUERN_CCACHE)
  set(CMAKE_C_COMPILER_LAUNCHER ${QUERN_CCACHE})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${QUERN_CCACHE})
endif()

find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
find_package(GTest REQUIRED)
find_package(PkgConfig REQUIRED)
enable_testing()

add_library(quern_flags INTERFACE)
target_include_directories(quern_flags INTERFACE ${CMAKE_SOURCE_DIR}/src)
# -Wrestrict: g++ 12 reports it falsely for std::string at -O3 (GCC bug 105651).
target_compile_options(quern_flags INTERFACE -Wall -Wextra -Wno-missing-field-initializers
  $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>
  # libstdc++ 12's own std::stable_sort uses a function that it declares deprecated, which clang reports in our name.
  $<$<CXX_COMPILER_ID:Clang>:-Wno-deprecated-declarations>
  $<$<BOOL:${QUERN_WERROR}>:-Werror>)
if(QUERN_SANITIZE)
  # g++ itself says that sanitizers make this warning report falsely (here: in std::regex).
  # It also says that it ignores some of the kernels' unroll pragmas then, a warning without a flag: no warning is an error.
  target_compile_options(quern_flags INTERFACE $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized;-Wno-error>)
  target_compile_options(quern_flags INTERFACE -fsanitize=${QUERN_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(quern_flags INTERFACE -fsanitize=${QUERN_SANITIZE})
endif()
if(QUERN_FUZZ)
  target_compile_options(quern_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()

# quern_library(<room> SOURCES a.cc ... HEADERS a.h ... LINK quern_base ...)
# One static library for a room, and a check that each of its headers compiles alone.
function(quern_library room)
  cmake_parse_arguments(ARG "" "" "SOURCES;HEADERS;LINK" ${ARGN})
  set(lib quern_${room})
  add_library(${lib} STATIC ${ARG_SOURCES})
  target_link_libraries(${lib} PUBLIC quern_flags ${ARG_LINK})
  set(alone "")
  foreach(header ${ARG_HEADERS})
    string(MAKE_C_IDENTIFIER ${header} id)
    set(file ${CMAKE_CURRENT_BINARY_DIR}/alone/${id}.cc)
    file(GENERATE OUTPUT ${file} CONTENT "#include \"${room}/${header}\"\n")
    list(APPEND alone ${file})
  endforeach()
  if(alone)
    add_library(${lib}_headers_alone OBJECT EXCLUDE_FROM_ALL ${alone})
    target_link_libraries(${lib}_headers_alone PRIVATE quern_flags ${ARG_LINK})
    set_property(GLOBAL APPEND PROPERTY QUERN_HEADER_CHECKS ${lib}_headers_alone)
  endif()
endfunction()

# quern_test(<room> SOURCES a_test.cc ... LINK ... [LABELS slow])
# One GoogleTest binary, quern_<room>_test, one ctest entry. Working directory is the source root.
function(quern_test room)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK;LABELS" ${ARGN})
  set(test quern_${room}_test)
  add_executable(${test} EXCLUDE_FROM_ALL ${ARG_SOURCES})
  target_link_libraries(${test} PRIVATE quern_${room} ${ARG_LINK} GTest::gtest GTest::gtest_main)
  add_test(NAME ${room} COMMAND ${test} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  set_tests_properties(${room} PROPERTIES LABELS "unit;${ARG_LABELS}" TIMEOUT ${QUERN_TEST_TIMEOUT_S})
  set_property(GLOBAL APPEND PROPERTY QUERN_TESTS ${test})
endfunction()

# quern_fuzz(<name> SOURCES x_fuzz.cc LINK quern_room CORPUS tests/fuzz/<name>)
# A parser's fuzz target. Without QUERN_FUZZ the same source is linked with a small driver that replays the corpus
# files and seeded mutations of them, so that it runs in every test run; with QUERN_FUZZ (clang) it is a libFuzzer binary.
function(quern_fuzz name)
  cmake_parse_arguments(ARG "" "CORPUS" "SOURCES;LINK" ${ARGN})
  set(target quern_fuzz_${name})
  if(QUERN_FUZZ)
    add_executable(${target} ${ARG_SOURCES})
    target_link_options(${target} PRIVATE -fsanitize=fuzzer)
  else()
    add_executable(${target} EXCLUDE_FROM_ALL ${ARG_SOURCES} ${CMAKE_SOURCE_DIR}/tests/fuzz/replay_main.cc)
    add_test(NAME fuzz_replay_${name} COMMAND ${target} ${CMAKE_SOURCE_DIR}/${ARG_CORPUS}
      WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
    set_tests_properties(fuzz_replay_${name} PROPERTIES LABELS "unit;fuzz" TIMEOUT ${QUERN_TEST_TIMEOUT_S})
    set_property(GLOBAL APPEND PROPERTY QUERN_TESTS ${target})
  endif()
  target_link_libraries(${target} PRIVATE ${ARG_LINK})
endfunction()

# quern_bench(<room> SOURCES x_bench.cc ... LINK ...)
# A Google Benchmark binary, quern_<room>_bench, built only when asked for; absent when the library is not installed.
find_package(benchmark QUIET)
function(quern_bench room)
  if(NOT benchmark_FOUND)
    return()
  endif()
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK" ${ARGN})
  set(bench quern_${room}_bench)
  add_executable(${bench} EXCLUDE_FROM_ALL ${ARG_SOURCES})
  target_link_libraries(${bench} PRIVATE quern_${room} ${ARG_LINK} benchmark::benchmark)
endfunction()
