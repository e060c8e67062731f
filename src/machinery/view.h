// The bases of the generated views (api/GROUP_VERSION.h): what every accessor is made of.
#pragma once

#include <string_view>

#include "machinery/value.h"

namespace keles {

class MessageView : public View {
 public:
  using View::View;

 protected:
  bool has_(std::string_view key) const {
    const Value* v = v_->find(key);
    return v != nullptr && !v->is_null();
  }
  const Value& at_(std::string_view key) const { return (*v_)[key]; }
};

// T's write view. Room for every field is made at once, so that views of its messages stay valid
// while others are added.
template <class T, size_t kFields>
class EditView : public T {
 public:
  explicit EditView(EditTarget t) : T(*t.value), t_(t) {
    if (!t.value->is_map()) *t.value = Value::map();
    t.value->reserve_members(*t.arena, kFields);
  }
  EditTarget edit_target() const { return t_; }

 protected:
  EditTarget slot_(std::string_view key) {
    return {&t_.value->get_or_add(*t_.arena, key), t_.arena};
  }
  void put_(std::string_view key, std::string_view s) {
    t_.value->set(*t_.arena, key, Value::string(t_.arena->copy(s)));
  }
  void put_(std::string_view key, bool b) { t_.value->set(*t_.arena, key, Value(b)); }
  void put_(std::string_view key, int64_t i) { t_.value->set(*t_.arena, key, Value(i)); }
  void put_(std::string_view key, double d) { t_.value->set(*t_.arena, key, Value(d)); }
  void put_copy_(std::string_view key, const Value& v) {
    t_.value->set(*t_.arena, key, deep_copy(*t_.arena, v));
  }
  void put_copy_(std::string_view key, const View& v) { put_copy_(key, v.value()); }
  void erase_(std::string_view key) { t_.value->erase(key); }

 private:
  EditTarget t_;
};

}  // namespace keles
