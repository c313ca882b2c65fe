/* Between MessagePack and JSON with the additions that the README lists. */
#ifndef VALUES_H
#define VALUES_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Writes text as a JSON string. */
void write_text(FILE *out, const char *text, size_t size);

/* Writes the JSON that describes a value, of which the library has seen that it is well-formed;
   returns where the next value begins. */
const uint8_t *write_described(FILE *out, const uint8_t *value);

/* Writes, as MessagePack, the value that is meant by one that was read from JSON; returns where
   the next one begins, or NULL when something is no value of the README's table. */
const uint8_t *write_meant(FILE *out, const uint8_t *value);

#endif
