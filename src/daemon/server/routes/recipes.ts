import type { FastifyInstance } from 'fastify'
import { readRecipe } from '../../jobs/recipe.js'
import { MAX_REQUEST_BYTES } from '../../protocol/limits.js'
import { pictureBytes } from '../../protocol/picture.js'
import { RecipeRequestSchema } from '../../protocol/recipe.js'

/** /v1/recipes: what makes an image again. */
export function recipeRoutes(app: FastifyInstance): void {
  app.post('/v1/recipes', { bodyLimit: MAX_REQUEST_BYTES }, (request) => {
    return readRecipe(pictureBytes(RecipeRequestSchema.parse(request.body).image))
  })
}
