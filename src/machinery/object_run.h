// ObjectRun: a few objects that stand side by side in lists, with what lists of them are made of:
// each form of all of them as one text. A list of thousands is then some texts, each of which lies
// in one place, and not thousands of them. Immutable; thread-safe.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/budget.h"
#include "machinery/object.h"

namespace keles {

class ObjectRun {
 public:
  explicit ObjectRun(std::vector<ObjectPtr> objects) : objects_(std::move(objects)) {}
  size_t size() const { return objects_.size(); }
  const ObjectPtr& operator[](size_t i) const { return objects_[i]; }

  Bytes json() const;  // with commas between
  // Each a field `items` (2) of a list's message, without its envelope.
  Bytes protobuf() const;

 private:
  // Made when it is first asked for, and again after the budget let it go.
  struct Form {
    std::weak_ptr<const std::string> text;
    Budget::Charge held;
  };
  template <class Append>
  Bytes text_of(Form& form, Append append) const;
  std::vector<ObjectPtr> objects_;
  mutable std::mutex mutex_;
  mutable Form json_, protobuf_;
};

// Some of a run's objects that follow each other.
struct ObjectStretch {
  std::shared_ptr<const ObjectRun> run;
  size_t from = 0, to = 0;
  bool whole() const { return from == 0 && to == run->size(); }
  size_t size() const { return to - from; }
};

}  // namespace keles
