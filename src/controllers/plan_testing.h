// What the tests of plans have in common: objects as YAML, at one moment.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string_view>
#include <utility>

#include "machinery/codec_yaml.h"
#include "machinery/object.h"
#include "machinery/time.h"

namespace keles::controllers {

template <class T>
Ref<T> parse(std::string_view yaml) {
  auto d = parse_yaml(yaml);
  EXPECT_TRUE(d.ok()) << d.status().to_string() << "\n" << yaml;
  return Ref<T>(std::make_shared<const Document>(std::move(*d)));
}

inline const WallTime kNow = *parse_time("2026-01-01T12:00:00Z");

}  // namespace keles::controllers
