#include "values.h"

#include <dotsock.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A value, without what is inside an array or map: that begins at `content`. */
struct value {
    int kind;
    int negative, ext_type;
    uint64_t integer;
    double number;
    size_t size;
    const uint8_t *content;
};

static uint64_t big_endian(const uint8_t **at, int width) {
    uint64_t number = 0;
    for (int i = 0; i < width; i++) number = number << 8 | *(*at)++;
    return number;
}

static double float_of(uint64_t bits, int width) {
    float single;
    double number;
    uint32_t half = (uint32_t)bits;
    memcpy(&single, &half, sizeof single);
    memcpy(&number, &bits, sizeof number);
    return width == 4 ? single : number;
}

static void read_integer(struct value *it, const uint8_t **at, int width, int is_signed) {
    uint64_t bits = big_endian(at, width);
    it->kind = DOTSOCK_KIND_INT;
    it->negative = is_signed && bits >> (8 * width - 1);
    if (it->negative && width < 8) bits |= UINT64_MAX << (8 * width);
    it->integer = bits;
}

/* What follows the tags that have a size or a number of some width. */
static void read_wide(struct value *it, const uint8_t **at, int tag) {
    if (tag <= 0xc3) {
        it->kind = tag == 0xc0 ? DOTSOCK_KIND_NIL : DOTSOCK_KIND_BOOL;
        it->integer = tag == 0xc3;
    } else if (tag <= 0xc6) {
        it->kind = DOTSOCK_KIND_BYTES;
        it->size = big_endian(at, 1 << (tag - 0xc4));
    } else if (tag <= 0xc9) {
        it->kind = DOTSOCK_KIND_EXT;
        it->size = big_endian(at, 1 << (tag - 0xc7));
        it->ext_type = (int8_t) * (*at)++;
    } else if (tag <= 0xcb) {
        int width = 4 << (tag - 0xca);
        it->kind = DOTSOCK_KIND_DOUBLE;
        it->number = float_of(big_endian(at, width), width);
    } else if (tag <= 0xcf) {
        read_integer(it, at, 1 << (tag - 0xcc), 0);
    } else if (tag <= 0xd3) {
        read_integer(it, at, 1 << (tag - 0xd0), 1);
    } else if (tag <= 0xd8) {
        it->kind = DOTSOCK_KIND_EXT;
        it->size = 1U << (tag - 0xd4);
        it->ext_type = (int8_t) * (*at)++;
    } else if (tag <= 0xdb) {
        it->kind = DOTSOCK_KIND_STRING;
        it->size = big_endian(at, 1 << (tag - 0xd9));
    } else {
        it->kind = tag <= 0xdd ? DOTSOCK_KIND_ARRAY : DOTSOCK_KIND_MAP;
        it->size = big_endian(at, tag & 1 ? 4 : 2);
    }
}

static struct value read_value(const uint8_t *at) {
    struct value it = {0};
    int tag = *at++;
    if (tag < 0x80 || tag >= 0xe0) {
        it.kind = DOTSOCK_KIND_INT;
        it.negative = tag >= 0xe0;
        it.integer = (uint64_t)(int64_t)(int8_t)tag;
    } else if (tag < 0xa0) {
        it.kind = tag < 0x90 ? DOTSOCK_KIND_MAP : DOTSOCK_KIND_ARRAY;
        it.size = tag & 0x0f;
    } else if (tag < 0xc0) {
        it.kind = DOTSOCK_KIND_STRING;
        it.size = tag & 0x1f;
    } else {
        read_wide(&it, &at, tag);
    }
    it.content = at;
    return it;
}

static int is_nested(const struct value *it) {
    return it->kind == DOTSOCK_KIND_ARRAY || it->kind == DOTSOCK_KIND_MAP;
}

static const uint8_t *skip(const uint8_t *at) {
    struct value it = read_value(at);
    if (!is_nested(&it)) return it.content + it.size;
    size_t count = it.kind == DOTSOCK_KIND_MAP ? 2 * it.size : it.size;
    at = it.content;
    while (count--) at = skip(at);
    return at;
}

/* --- Base64 ----------------------------------------------------------------------------------- */

static const char BASE64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static void write_base64(FILE *out, const uint8_t *bytes, size_t size) {
    fputc('"', out);
    for (size_t i = 0; i < size; i += 3) {
        size_t left = size - i;
        uint32_t bits = (uint32_t)bytes[i] << 16 | (left > 1 ? bytes[i + 1] << 8 : 0) |
                        (left > 2 ? bytes[i + 2] : 0);
        for (size_t j = 0; j < 4; j++)
            fputc(j <= left ? BASE64[bits >> (18 - 6 * j) & 63] : '=', out);
    }
    fputc('"', out);
}

/* The bytes that text in base64 stands for, to be freed; NULL when it is none. */
static uint8_t *from_base64(const struct value *text, size_t *size) {
    uint8_t *bytes = malloc(text->size + 1);
    uint32_t bits = 0, count = 0;
    *size = 0;
    for (size_t i = 0; i < text->size && text->content[i] != '='; i++) {
        const char *digit = strchr(BASE64, text->content[i]);
        if (!digit || !*digit) {
            free(bytes);
            return NULL;
        }
        bits = bits << 6 | (uint32_t)(digit - BASE64);
        if (++count % 4 != 1) bytes[(*size)++] = (uint8_t)(bits >> (6 - 2 * ((count - 1) % 4)));
    }
    return bytes;
}

/* --- From MessagePack to JSON ----------------------------------------------------------------- */

void write_text(FILE *out, const char *text, size_t size) {
    fputc('"', out);
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c < 0x20 || c == '"' || c == '\\' || c == 0x7f)
            fprintf(out, "\\u%04x", c);
        else
            fputc(c, out);
    }
    fputc('"', out);
}

static void write_number(FILE *out, double number) {
    char text[40];
    if (isnan(number)) {
        fputs("{\"$float\": \"nan\"}", out);
    } else if (isinf(number)) {
        fprintf(out, "{\"$float\": \"%s\"}", number > 0 ? "inf" : "-inf");
    } else {
        snprintf(text, sizeof text, "%.17g", number);
        fprintf(out, "%s%s", text, strpbrk(text, ".e") ? "" : ".0");
    }
}

static int has_only_text_keys(const struct value *map) {
    const uint8_t *at = map->content;
    for (size_t i = 0; i < map->size; i++) {
        if (read_value(at).kind != DOTSOCK_KIND_STRING) return 0;
        at = skip(skip(at));
    }
    return 1;
}

static const uint8_t *write_map(FILE *out, const struct value *map) {
    int plain = has_only_text_keys(map);
    const uint8_t *at = map->content;
    fputs(plain ? "{" : "{\"$map\": [", out);
    for (size_t i = 0; i < map->size; i++) {
        fputs(i ? ", " : "", out);
        fputs(plain ? "" : "[", out);
        at = write_described(out, at);
        fputs(plain ? ": " : ", ", out);
        at = write_described(out, at);
        fputs(plain ? "" : "]", out);
    }
    fputs(plain ? "}" : "]}", out);
    return at;
}

static const uint8_t *write_array(FILE *out, const struct value *array) {
    const uint8_t *at = array->content;
    fputc('[', out);
    for (size_t i = 0; i < array->size; i++) {
        fputs(i ? ", " : "", out);
        at = write_described(out, at);
    }
    fputc(']', out);
    return at;
}

const uint8_t *write_described(FILE *out, const uint8_t *value) {
    struct value it = read_value(value);
    switch (it.kind) {
    case DOTSOCK_KIND_MAP: return write_map(out, &it);
    case DOTSOCK_KIND_ARRAY: return write_array(out, &it);
    case DOTSOCK_KIND_NIL: fputs("null", out); break;
    case DOTSOCK_KIND_BOOL: fputs(it.integer ? "true" : "false", out); break;
    case DOTSOCK_KIND_INT:
        if (it.negative)
            fprintf(out, "%lld", (long long)it.integer);
        else
            fprintf(out, "%llu", (unsigned long long)it.integer);
        break;
    case DOTSOCK_KIND_DOUBLE: write_number(out, it.number); break;
    case DOTSOCK_KIND_STRING: write_text(out, (const char *)it.content, it.size); break;
    case DOTSOCK_KIND_BYTES:
        fputs("{\"$bin\": ", out);
        write_base64(out, it.content, it.size);
        fputc('}', out);
        break;
    case DOTSOCK_KIND_EXT:
        fprintf(out, "{\"$ext\": [%d, ", it.ext_type);
        write_base64(out, it.content, it.size);
        fputs("]}", out);
        break;
    }
    return it.content + it.size;
}

/* --- From JSON to MessagePack ----------------------------------------------------------------- */

static void write_head(FILE *out, int tag, size_t size, int width) {
    fputc(tag, out);
    while (width--) fputc((int)(size >> (8 * width) & 0xff), out);
}

static int is_text(const struct value *it, const char *text) {
    return it->kind == DOTSOCK_KIND_STRING && it->size == strlen(text) &&
           memcmp(it->content, text, it->size) == 0;
}

static int write_float(FILE *out, const struct value *name) {
    double number = is_text(name, "nan") ? NAN : is_text(name, "inf") ? INFINITY : -INFINITY;
    uint64_t bits;
    memcpy(&bits, &number, sizeof bits);
    write_head(out, 0xcb, bits, 8);
    return isnan(number) || number > 0 || is_text(name, "-inf");
}

static int write_bytes(FILE *out, const struct value *text) {
    size_t size;
    uint8_t *bytes = text->kind == DOTSOCK_KIND_STRING ? from_base64(text, &size) : NULL;
    if (!bytes) return 0;
    write_head(out, 0xc6, size, 4);
    fwrite(bytes, 1, size, out);
    free(bytes);
    return 1;
}

static int write_ext(FILE *out, const struct value *pair) {
    if (pair->kind != DOTSOCK_KIND_ARRAY || pair->size != 2) return 0;
    struct value type = read_value(pair->content), text = read_value(skip(pair->content));
    size_t size;
    uint8_t *bytes = text.kind == DOTSOCK_KIND_STRING ? from_base64(&text, &size) : NULL;
    if (!bytes || type.kind != DOTSOCK_KIND_INT) {
        free(bytes);
        return 0;
    }
    write_head(out, 0xc9, size, 4);
    fputc((int)(type.integer & 0xff), out);
    fwrite(bytes, 1, size, out);
    free(bytes);
    return 1;
}

static int write_pairs(FILE *out, const struct value *pairs) {
    if (pairs->kind != DOTSOCK_KIND_ARRAY) return 0;
    write_head(out, 0xdf, pairs->size, 4);
    const uint8_t *at = pairs->content;
    for (size_t i = 0; i < pairs->size; i++) {
        struct value pair = read_value(at);
        if (pair.kind != DOTSOCK_KIND_ARRAY || pair.size != 2) return 0;
        const uint8_t *second = write_meant(out, pair.content);
        if (!second || !write_meant(out, second)) return 0;
        at = skip(at);
    }
    return 1;
}

static const struct {
    const char *key;
    int (*write)(FILE *out, const struct value *content);
} SPECIAL[] = {
    {"$float", write_float}, {"$bin", write_bytes}, {"$ext", write_ext}, {"$map", write_pairs}};

const uint8_t *write_meant(FILE *out, const uint8_t *value) {
    struct value it = read_value(value);
    if (it.kind == DOTSOCK_KIND_MAP && it.size == 1) {
        struct value key = read_value(it.content), content = read_value(skip(it.content));
        for (size_t i = 0; i < sizeof SPECIAL / sizeof *SPECIAL; i++)
            if (is_text(&key, SPECIAL[i].key))
                return SPECIAL[i].write(out, &content) ? skip(value) : NULL;
    }
    if (!is_nested(&it)) {
        const uint8_t *next = it.content + it.size;
        fwrite(value, 1, (size_t)(next - value), out);
        return next;
    }
    fwrite(value, 1, (size_t)(it.content - value), out);
    size_t count = it.kind == DOTSOCK_KIND_MAP ? 2 * it.size : it.size;
    const uint8_t *at = it.content;
    while (count-- && at) at = write_meant(out, at);
    return at;
}
