// Fill-in-the-middle prompts: recognising and building them. Text only; encoding turns the markers into tokens.
#pragma once

#include <array>
#include <string>
#include <string_view>

namespace quern::api {

inline constexpr std::string_view kFimPrefix = "<|fim_prefix|>";
inline constexpr std::string_view kFimSuffix = "<|fim_suffix|>";
inline constexpr std::string_view kFimMiddle = "<|fim_middle|>";

// Tokens at which a filled-in middle ends beside the ordinary ends of text.
inline constexpr std::array<std::string_view, 7> kFimStops = {"<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>",
                                                              "<|fim_pad|>",    "<|repo_name|>",  "<|file_sep|>",
                                                              "<|im_start|>"};

// True when the text contains one of the three markers.
bool HasFimMarkers(std::string_view text);

// Prefix, suffix, middle order. The prefix may begin with repository context.
std::string BuildFim(std::string_view prefix, std::string_view suffix);

// A prompt with prefix and suffix markers and no middle marker is asked to begin the middle; others stay as they are.
std::string CompleteFim(std::string prompt);

}  // namespace quern::api
